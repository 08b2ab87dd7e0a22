"""Real clips prepared for the protocols, and the videos that systems and baselines make of them."""

from __future__ import annotations

import hashlib
import os
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from talkingface.api.evaluation.pairs import VIDEOS, list_files
from talkingface.api.evaluation.subject import CLOCK_FPS, LONGEST_PX
from talkingface.api.poses import open_pose
from talkingface.api.verbs import fit, load, motion, render
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.core import registry
from talkingface.core import weights as store
from talkingface.core.cache import content_hash, write_atomic
from talkingface.core.errors import InputError, TalkingFaceError
from talkingface.core.motion import concatenate, replace_pose
from talkingface.core.system import System
from talkingface.core.types import Controls

RATE_HZ = 16000
CLIP_S = 10.0
SHORTEST_S = 2.0
QUALITY = 18
"""H.264 constant rate factor of everything that is generated here, and of the real video beside it."""
VERSION = 1
NOT_TALKING = ("driver_two_faces", "driver_no_face")


@dataclass(frozen=True, slots=True, kw_only=True)
class RealClip:
    """A real clip, cut to its first ten seconds: the `original`, its `video` through our encoder, `sound`, `photo`."""

    name: str
    person: str
    original: Path
    video: Path
    sound: Path
    photo: Path


def real_clips(data: Path, work: Path, limit: int | None) -> tuple[list[RealClip], list[str]]:
    """The clips of a data folder (its val split) or of a folder of videos, and sentences about those left out.

    They come person by person in turn, so that the first few show as many people as there are. Raises InputError when
    fewer than two people remain.
    """
    clips: list[RealClip] = []
    skipped: list[str] = []
    for entry in _in_turn(_entries(data)):
        if limit is not None and len(clips) == limit:
            break
        try:
            clips.append(_prepare(entry, work))
        except TalkingFaceError as error:
            skipped.append(f"{entry.slug}: {error}")
    if len({clip.person for clip in clips}) < 2:
        raise InputError(f"{data} has clips of fewer than two people with sound; cross-driving needs two")
    return clips, skipped


def _entries(data: Path) -> list[ClipEntry]:
    if (data / "manifest.csv").is_file():
        return [clip for clip in list_clips(data) if clip.split == "val" and clip.slug not in NOT_TALKING]
    found = []
    for path in list_files(data, VIDEOS):
        sidecar = path.with_suffix(".wav")
        sound = sidecar if sidecar.is_file() else path
        found.append(
            ClipEntry(slug=path.stem, path=path, sound=sound, split="val", identity=path.stem, licence_class="")
        )
    if not found:
        raise InputError(f"{data} holds neither a manifest.csv nor videos; name the folder of real clips")
    return found


def _in_turn(entries: list[ClipEntry]) -> Iterator[ClipEntry]:
    people: dict[str, list[ClipEntry]] = {}
    for entry in entries:
        people.setdefault(entry.identity, []).append(entry)
    for turn in range(max(map(len, people.values()), default=0)):
        for clips in people.values():
            if turn < len(clips):
                yield clips[turn]


def _prepare(entry: ClipEntry, work: Path) -> RealClip:
    from talkingface.audio.read import read_audio
    from talkingface.face.track import track_image
    from talkingface.video.image import write_image
    from talkingface.video.read import probe, read_frames

    samples = read_audio(entry.sound, RATE_HZ).samples[0]
    seconds = min(CLIP_S, len(samples) / RATE_HZ, probe(entry.path).duration_s)
    if seconds < SHORTEST_S:
        raise InputError(f"it lasts only {seconds:.1f} s; {SHORTEST_S:g} s are needed")
    stem = f"{entry.slug}-{content_hash(entry.path)[:10]}"
    clip = RealClip(
        name=entry.slug, person=entry.identity, original=entry.path, video=work / f"{stem}.mp4",
        sound=work / f"{stem}.wav", photo=work / f"{stem}.png",
    )  # fmt: skip
    if not clip.video.is_file():
        first = next(read_frames(entry.path, fps=CLOCK_FPS, longest_px=LONGEST_PX)).rgb
        track_image(first)  # a clip whose first frame is no portrait cannot be driven from it
        write_image(clip.photo, first)
        _write_wav(clip.sound, samples[: round(seconds * RATE_HZ)])
        frames = read_frames(entry.path, fps=CLOCK_FPS, longest_px=LONGEST_PX)
        write_video(clip.video, (f.rgb for f in takewhile(lambda f: f.time_s < seconds - 1e-3, frames)), clip.sound)
    return clip


def _write_wav(path: Path, samples: np.ndarray) -> None:
    with write_atomic(path) as file, wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE_HZ)
        sound.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def write_video(path: Path, pictures: Iterator[np.ndarray], sound: Path) -> None:
    """Encode pictures uint8 [H, W, 3] as everything here is encoded. Raises OutputError."""
    from talkingface.video.write import VideoWriter

    first = next(pictures)
    size = (first.shape[1], first.shape[0])
    with VideoWriter(path, size, CLOCK_FPS, sound=sound, quality=QUALITY) as writer:
        writer.write(first)
        for picture in pictures:
            writer.write(picture)


def silence_like(sound: Path, work: Path) -> Path:
    """A file of digital silence as long as `sound`."""
    with wave.open(str(sound), "rb") as file:
        count = file.getnframes()
    path = work / f"silence-{count}.wav"
    if not path.is_file():
        _write_wav(path, np.zeros(count, np.float32))
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A video to make: the `face` clip's first frame says `sound`; its head moves as in that clip (`own_pose`) or by
    the system's own motion."""

    face: RealClip
    sound: Path
    own_pose: bool


Maker = Callable[[Task, Path], None]
"""Makes the video of a task at a path."""


def make_once(maker: Maker, name: str, task: Task, work: Path) -> Path:
    """The video of a task, made unless it is there; `name` says by what. Raises what making raises."""
    facts = (VERSION, name, task.face.video.stem, content_hash(task.sound), task.own_pose)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    path = work / f"{name}-{task.face.name}-{digest}.mp4"
    if not path.is_file():
        maker(task, path)
    return path


def still_photo(task: Task, path: Path) -> None:
    """The first frame for as long as the sound lasts."""
    from talkingface.video.image import read_image

    with wave.open(str(task.sound), "rb") as file:
        seconds = file.getnframes() / RATE_HZ
    picture = read_image(task.face.photo).rgb
    write_video(path, (picture for _ in range(int(seconds * CLOCK_FPS))), task.sound)


@dataclass(frozen=True, slots=True)
class Speaker:
    """A system with weights, or its motion drawn by the preset `baseline`."""

    system: str
    weights: str | None
    baseline: str | None = None

    @classmethod
    def named(cls, name: str) -> Speaker:
        """A system ("portrait"), weights ("portrait.clean") or their folder. Raises UsageError with the close names."""
        if os.path.isdir(name):
            return cls(str(store.read_card(Path(name)).get("system")), name)
        system = name.partition(".")[0]
        if name != system and system in registry.system_names():
            return cls(system, name)
        return cls(registry.get_spec(name).name, None)

    def identity(self) -> str:
        """A text that is equal for equal weights, for the names of files."""
        ref = self._load().weights
        card = {} if ref is None else ref.card
        parts = (card.get("name", self.system), str(card.get("sha256", ""))[:8])
        return "-".join([*parts, *([self.baseline] if self.baseline else [])])

    def __call__(self, task: Task, path: Path) -> None:
        """Make the video of a task."""
        system = self._load()
        takes_photo = "photo" in system.SPEC.source
        avatar = fit(task.face.photo if takes_photo else task.face.video, system=self.system, weights=self.weights)
        moved = motion(task.sound, face=avatar, system=self.system, weights=self.weights)
        if task.own_pose and moved.pose is not None:
            rows = open_pose(task.face.video, driven=False, of_clip=False).rows(system, avatar, Controls())
            assert rows is not None  # a video has some
            # the photo is the clip's first frame, whatever the system measures poses from
            moved = concatenate(replace_pose([moved], rows - rows[:1]))
        if self.baseline is None:
            options = {
                "speech": task.sound, "system": self.system, "weights": self.weights, "crop": "full",
                "no_mark": "scored against real pictures", "no_credentials": "an intermediate of evaluate",
            }  # fmt: skip
            render(avatar, moved, **options).save(path)
        else:
            pieces = load(self.system, preset=self.baseline).render(avatar, iter([moved]), Controls())
            write_video(path, (picture for piece in pieces for picture in piece.rgb), task.sound)

    def _load(self) -> System:
        return load(self.system, weights=self.weights)
