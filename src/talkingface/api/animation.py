"""`Animation`: a talking video that is made while it is read or saved."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkingface.api.encode import EncoderThread
from talkingface.api.inputs import Speech
from talkingface.api.provenance import Signing
from talkingface.api.report import measure_offset, versions
from talkingface.core.cache import check_apart, check_writable, final_path, user_path, write_atomic
from talkingface.core.device import peak_memory_mb
from talkingface.core.errors import InputError, UsageError
from talkingface.core.motion import limit_frames, resample_motion
from talkingface.core.progress import report_progress
from talkingface.core.system import System
from talkingface.core.timing import num_frames
from talkingface.core.types import Avatar, Controls, Frames, Motion
from talkingface.core.work_folder import check_free, folder_beside
from talkingface.trust.sidecar import EMBEDDING, sidecar_of

CONTAINERS = (".mp4", ".mov", ".webm", ".mkv")
ALPHA_CONTAINERS = (".webm", ".mov")
RESUME_FROM_S = 120.0
Finisher = Callable[[Iterator[Frames], float, int], Iterator[Frames]]
"""From frames, their rate and the number of the first one to frames as they are shown (`layout.Strip.arrange`)."""


@dataclass(slots=True, kw_only=True)
class Animation:
    """What `animate` and `render` return; nothing is drawn before it is iterated or saved.

    Iterating yields `Frames` as the speech arrives. `save` writes a video file and fills `report`.
    """

    system: System
    avatar: Avatar
    controls: Controls
    motions: Callable[[], Iterator[Motion]]
    """Makes the motion from its beginning, at any clock."""
    speech: Speech | None
    """Sound of the result; None: a silent picture."""
    key: Callable[[], str]
    """A text that is equal for equal results, for resuming a killed job."""
    finishers: tuple[Finisher, ...] = ()
    """What is done to finished frames, in this order."""
    inputs: Mapping[str, object] = field(default_factory=dict)
    """What the result is made from, by what it is for ("face", "speech"); paths among it are never overwritten."""
    withheld: Mapping[str, str] = field(default_factory=dict)
    """What the result goes without ("credentials"), with the reason that it states."""
    started_s: float = field(default_factory=time.perf_counter)
    frames_resumed: int = field(default=0, init=False)
    """After `save`: how many frames an earlier, killed run had finished."""
    _job: str | None = field(default=None, init=False)
    report: dict[str, Any] = field(default_factory=dict, init=False)
    """After `save`: frames, wall_s, frames_per_s, first_frame_s, peak_memory_mb, system, weights, versions, notes,
    mark_payload, credentials (where they are, who signed), withheld."""

    @property
    def fps(self) -> float:
        """Frames per second of the result."""
        return self.system.fps(self.avatar, self.controls)

    @property
    def job(self) -> str:
        """`key`, which reads all inputs, at most once."""
        self._job = self._job or self.key()
        return self._job

    @property
    def payload(self) -> int | None:
        """The 48 bits that the mark in the pictures says (`trust.mark.mark_payload` of `job`); None without a mark."""
        if "mark" in self.withheld:
            return None
        from talkingface.trust.mark import mark_payload

        return mark_payload(self.job)

    @property
    def notes(self) -> list[str]:
        """Sentences for the user about the input ("3 faces found, the largest is used")."""
        notes = self.avatar.card.get("notes")
        seen = [str(note) for note in notes] if isinstance(notes, (list, tuple)) else []
        seen += [] if self.controls.style is None else self.controls.style.notes
        return seen if self.speech is None else [*seen, *self.speech.notes]

    def __iter__(self) -> Iterator[Frames]:
        return self.frames()

    def frames(self, first: int = 0) -> Iterator[Frames]:
        """Pictures from frame `first` on; the same pictures whatever `first` is."""
        motion = self._end_with_speech(resample_motion(self.motions(), self.fps))
        frames = self.system.render(self.avatar, motion, self.controls, first)
        for finish in self.finishers:
            frames = finish(frames, self.fps, first)
        if self.payload is None:
            return frames
        from talkingface.trust.mark import mark_frames

        return mark_frames(frames, self.fps, self.payload, first)

    def _end_with_speech(self, motions: Iterator[Motion]) -> Iterator[Motion]:
        for piece in motions:
            end = None if self.speech is None else self.speech.end_frame(self.fps)
            if end is None:
                yield piece
            else:
                yield from limit_frames([piece], end)

    def save(self, path: str | Path, *, report: str | Path | None = None, bom: str | Path | None = None) -> Path:
        """Write the video to `path` (.mp4, .mov, .webm, .mkv; transparent: .webm or .mov) and return it.

        The file appears when it is whole and signed; an earlier one is kept until then. Long jobs that were killed go
        on where they stopped when the same call is made again. `report` names a JSON file for `self.report`, which then
        also has `audio_mouth_offset_ms`, measured on the result; `bom` names one for the bill of materials. Raises
        OutputError, UsageError if another run is making a long result at `path` or an input lies there, and whatever
        reading the inputs raises.
        """
        path = check_container(path, self.controls.background)
        sidecar = None if path.suffix.lower() in EMBEDDING else sidecar_of(path)
        check_apart((path, report, bom, sidecar), self.inputs.values())
        for file in (report, bom):
            if file is not None:
                check_writable(file)
        if self.speech is not None and not self.speech.is_stored:
            raise UsageError("speech in pieces can be iterated but not saved; give a file or an Audio to save")
        signing = Signing(self)
        num_written, first_frame_s = self._write(path, signing)
        signing.note(path)
        wall_s = time.perf_counter() - self.started_s
        self.report = self._figures(path, num_written, wall_s, first_frame_s)
        self.report |= signing.figures()
        if bom is not None:
            _write_json(bom, signing.bom(path))
        if report is not None:
            self.report.update(measure_offset(path))
            _write_json(report, self.report)
        return path

    def _write(self, path: Path, signing: Signing) -> tuple[int, float]:
        """Draw, encode and sign; returns frames in the file, and seconds from the start to the first picture."""
        from talkingface.video.write import write_result

        total = self.expected_frames()
        is_long = total is not None and total >= RESUME_FROM_S * self.fps
        if is_long:
            signing.check()
        first_frame_s = None
        writer = write_result(
            path,
            self.fps,
            system=self.system.SPEC.name,
            weights=str(self.weights.get("name", "")),
            withheld=self.withheld,
            sign=signing,
            sound=None if self.speech is None else self.speech.source,
            sound_track=None if self.speech is None else self.speech.track,
            alpha=self.controls.background == "transparent",
            key=self._pieces_key() if is_long else None,
        )
        with writer, EncoderThread(writer) as encoder:
            done = self.frames_resumed = writer.frames_done
            for piece in self.frames(done):
                first_frame_s = first_frame_s or time.perf_counter() - self.started_s
                encoder.put(piece)
                done += len(piece)
                report_progress("drawing frames", done, total)
            if not done:
                raise InputError("the input gave no frames; check that the speech or the motion is not empty")
        return done, first_frame_s or time.perf_counter() - self.started_s

    def _pieces_key(self) -> str:
        """What the pictures depend on: the job, and the key of their mark."""
        if self.payload is None:
            return self.job
        from talkingface.trust.mark import ALGORITHM, mark_key

        return f"{self.job} {ALGORITHM} {hashlib.sha256(mark_key()).hexdigest()}"

    def expected_frames(self) -> int | None:
        """Frames in all as far as the speech's length is known beforehand."""
        duration_s = None if self.speech is None else self.speech.duration_s()
        return None if not duration_s else num_frames(duration_s, self.fps)

    def _figures(self, path: Path, num_written: int, wall_s: float, first_frame_s: float) -> dict[str, Any]:
        return {
            "output": str(path),
            "mark_payload": None if self.payload is None else f"{self.payload:012x}",
            "frames": num_written,
            "frames_resumed": self.frames_resumed,
            "fps": float(self.fps),
            "wall_s": round(wall_s, 3),
            "frames_per_s": round(num_written / wall_s, 2),
            "first_frame_s": round(first_frame_s, 3),
            "peak_memory_mb": peak_memory_mb(),
            "system": self.system.SPEC.name,
            "weights": self.weights,
            "versions": versions(),
            "notes": self.notes,
        }

    @property
    def weights(self) -> dict[str, Any]:
        """Name, SHA-256, licence and what it allows, of the weights used; empty for fresh ones. An avatar that holds
        networks of its own speaks for itself."""
        card: Mapping[str, Any] = {} if self.system.weights is None else self.system.weights.card
        if "licence" in self.avatar.card:
            card = self.avatar.card
        return {key: card[key] for key in ("name", "version", "sha256", "licence", "allows") if key in card}


def _write_json(path: str | Path, values: Mapping[str, Any]) -> None:
    with write_atomic(path, "w") as file:
        json.dump(values, file, indent=2, allow_nan=False)
        file.write("\n")


def check_container(path: str | Path, background: str = "keep") -> Path:
    """`path` if a result may be written there. Raises UsageError or OutputError before any long work, also if another
    run is making a long one."""
    path = user_path(path)
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise UsageError(f"cannot write {path.name}: the name must end in {', '.join(CONTAINERS)}")
    if background == "transparent" and suffix not in ALPHA_CONTAINERS:
        raise UsageError(f"{suffix} cannot be transparent; name a file that ends in {' or '.join(ALPHA_CONTAINERS)}")
    check_writable(path)
    if suffix not in EMBEDDING:
        check_writable(sidecar_of(path))
    check_free(folder_beside(final_path(path)), f"the video {path}")
    return path
