"""The source of head motion: opened and checked at once, read when the avatar is ready."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from talkingface.api.angles import read_angles
from talkingface.clips.source import existing_media, open_media
from talkingface.core.checks import check_pose
from talkingface.core.errors import UsageError
from talkingface.core.motion import check_motion, concatenate, load_motion, resample_motion
from talkingface.core.spec import SystemSpec
from talkingface.core.system import System
from talkingface.core.types import Avatar, Clip, Controls, Motion, Photo

WORDS = ("still", "generated", "source")
Kind = Literal["still", "generated", "source", "drive", "video", "photo", "motion", "angles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPose:
    """`kind`, and for a file its `path` and what it holds; "drive": the head motion of the drive video."""

    kind: Kind
    path: Path | None = None
    held: Photo | Clip | Motion | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it is measured in a video, from one origin or another."""
        return self.kind in ("drive", "video", "photo")

    def check(self, spec: SystemSpec) -> None:
        """Refuse what the system does not take. Raises UsageError, InputError."""
        check_pose(spec, "video" if self.kind == "drive" else self.kind, str(self.path))
        if isinstance(self.held, Motion):
            _with_pose(check_motion(self.held, spec.space_of(self.held.space), str(self.path)), self.path)

    def rows(self, system: System, avatar: Avatar | None, controls: Controls) -> np.ndarray | None:
        """Head pose rows [T, P] of a file at the system's clock; None where the pose is no file's.

        A photo is one row, which is held.
        """
        if self.path is None:
            return None
        if self.kind == "angles":
            result_fps = (controls.fps or system.SPEC.fps) if avatar is None else system.fps(avatar, controls)
            angles = read_angles(self.path, system.SPEC.fps, result_fps)
            return system.pose_from_angles(angles) * np.float32(controls.pose_scale)
        if isinstance(self.held, Motion):
            motions = iter([check_motion(self.held, system.motion_space, str(self.path))])
        else:
            assert self.held is not None
            motions = system.motion_from_video(avatar, self.held, controls)
        return _with_pose(concatenate(resample_motion(motions, system.SPEC.fps)), self.path)


def open_pose(pose: str | Path | None, *, driven: bool, of_clip: bool) -> HeadPose:
    """The head pose that `pose` names, opened; None: the drive video's, else the clip's own, else generated.

    Raises UsageError for "source" without a clip, InputError for a file that is none.
    """
    word = ("drive" if driven else "source" if of_clip else "generated") if pose is None else str(pose)
    if word == "source" and not of_clip:
        raise UsageError("--pose source needs a video as the face; for a photo use still, generated or a file")
    if pose is None or word in WORDS:
        return HeadPose(kind=word)  # type: ignore[arg-type]
    path = existing_media(word)
    if path.suffix.lower() in (".csv", ".txt"):
        read_angles(path, 25.0, 25.0)  # for its faults
        return HeadPose(kind="angles", path=path)
    if is_motion_file(path):
        return HeadPose(kind="motion", path=path, held=load_motion(path))
    held = open_media(path)
    return HeadPose(kind="photo" if isinstance(held, Photo) else "video", path=path, held=held)


def is_motion_file(source: object) -> bool:
    """Whether this is the path of a motion file, by its content or its name."""
    return isinstance(source, str | Path) and (Path(source).suffix.lower() == ".npz" or zipfile.is_zipfile(source))


def _with_pose(motion: Motion, path: Path | None) -> np.ndarray:
    if motion.pose is None:
        raise UsageError(f"{path} holds no head pose; give a video, a motion file with a pose, or a CSV")
    return motion.pose
