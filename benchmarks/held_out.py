"""Avatars beside the end of their own clip: which clip is whose, and what other systems make of the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.targets import TargetJob
from talkingface import api
from talkingface.clips.manifest import list_clips
from talkingface.clips.source import open_clip, open_media
from talkingface.core.errors import UsageError
from talkingface.core.motion import concatenate
from talkingface.core.types import Avatar, Controls, Frames
from talkingface.core.weights import is_avatar, load_avatar
from talkingface.person.clip import PersonClip
from talkingface.person.held_out import held_out_motion
from talkingface.video.stored import StoredFrames

_MEDIA = (".mp4", ".mov", ".mkv", ".webm", ".avi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A clip and the avatars that were made of it; `avatars` by system, `name` is the clip's."""

    name: str
    clip: Path
    avatars: dict[str, Avatar]
    folders: dict[str, Path]


def fitted_clips(job: TargetJob, system: str) -> list[Fitted]:
    """The avatars that `job.weights` names, with commas, or else those in `job.data`, by clip: those of `system`, and
    of the same clip those of others.

    An avatar NAME.avatar or NAME-ANYTHING.avatar is of the clip NAME in the data folder: of its manifest, or a file
    there. Raises UsageError where there is none of `system`, or its clip is not there.
    """
    if job.data is None:
        raise UsageError("avatars are measured beside their clips; name the folder of these with --data")
    if job.weights is None:
        folders = sorted(path for path in job.data.glob("*.avatar") if is_avatar(path))
    else:
        folders = [Path(name.strip()).expanduser() for name in job.weights.split(",")]
        missing = [folder for folder in folders if not is_avatar(folder)]
        if missing:
            raise UsageError(f"{missing[0]} is no avatar; name folders that talkingface fit made, with commas")
    clips, found = _clips(job.data), dict[str, Fitted]()
    for folder in folders:
        stem = folder.name.removesuffix(".avatar")
        name = next((name for name in sorted(clips, key=len, reverse=True) if _is_of(stem, name)), None)
        if name is None:
            raise UsageError(f"{job.data} has no clip {stem}; avatars are called as their clips are")
        avatar = load_avatar(folder)
        of_clip = found.setdefault(name, Fitted(name=name, clip=clips[name], avatars={}, folders={}))
        of_clip.avatars[avatar.system], of_clip.folders[avatar.system] = avatar, folder
    chosen = [fitted for fitted in found.values() if system in fitted.avatars]
    if not chosen:
        raise UsageError(f"there is no avatar of {system}; name some with --weights, with commas")
    return chosen[: job.limit]


def _is_of(stem: str, name: str) -> bool:
    return stem == name or stem.startswith(f"{name}-")


def _clips(data: Path) -> dict[str, Path]:
    found = {path.stem: path for path in data.iterdir() if path.suffix.lower() in _MEDIA}
    if (data / "manifest.csv").is_file():
        found |= {clip.slug: clip.path for clip in list_clips(data)}
    return found


def portrait_pictures(material: PersonClip, first: int, last: int) -> Iterator[Frames]:
    """The clip's frame 0 animated by `portrait`, with the sound and the head pose of frames `first` to `last` (not
    included, or where the sound ends)."""
    portrait = api.load("portrait")
    photo = portrait.fit(open_media(StoredFrames(material.frames, material.size)[0]), size="native")
    spoken = concatenate(portrait.motion_from_audio(photo, iter([material.samples]), Controls(pose="still", blink=0.0)))
    rows = material.head().rows
    motion = held_out_motion(_as_long(spoken.expression[first:last], last - first), rows[first:last] - rows[:1])
    return portrait.render(photo, iter([motion]), Controls(size="native"))


def avatar_pictures(avatar: Avatar, clip: Path, material: PersonClip, first: int, last: int) -> Iterator[Frames]:
    """An avatar of any system in space mesh478 with the sound and the head pose of these frames."""
    system = api.load(avatar.system)
    still = Controls(pose="still", blink=0.0)
    spoken = concatenate(system.motion_from_audio(avatar, iter([material.samples]), still))
    driven = concatenate(system.motion_from_video(avatar, open_clip(clip), Controls(pose_origin="none")))
    if driven.pose is None:
        raise UsageError(f"{avatar.system} moves no head; leave its avatar out")
    motion = held_out_motion(_as_long(spoken.expression[first:last], last - first), driven.pose[first:last])
    return system.render(avatar, iter([motion]), Controls(pose="generated", size="native"))


def _as_long(expression: np.ndarray, count: int) -> np.ndarray:
    """Rows [count, E]: a voice that ends before the pictures leaves the last one."""
    return np.pad(expression, ((0, count - len(expression)), (0, 0)), mode="edge")
