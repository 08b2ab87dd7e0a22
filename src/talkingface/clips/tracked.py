"""The face of a clip, followed once: its track, what was lost, and its pictures; kept in the cache by content."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from talkingface.clips.source import open_clip
from talkingface.core.arrays import save_arrays
from talkingface.core.cache import cache_file, content_hash, keep_file
from talkingface.core.errors import InputError
from talkingface.core.progress import report_progress
from talkingface.core.stream import read_ahead
from talkingface.core.timing import frame_to_time
from talkingface.core.types import Clip, Track
from talkingface.face.search import find_faces, turn
from talkingface.face.track import TURNED, VERSION, track_frames
from talkingface.video.read import VideoFrame, read_frames

MOST_NAMED = 4
"""Times that a note lists."""
LOOKS, LOOKED_AT_PX = 5, 640
"""Pictures, one a second, that say how a clip is turned, and their size."""

_AHEAD = 4
"""Pictures that are decoded while the face is looked for in others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedClip:
    """A clip and its `track`, row for row of the pictures that `frames` gives.

    `fps` None: the clip's own pictures at their own times. All are turned counter-clockwise by `turns` quarters.
    `notes`: sentences for the user about parts that were lost.
    """

    clip: Clip
    track: Track
    fps: float | None = None
    longest_px: int | None = None
    turns: int = 0
    notes: tuple[str, ...] = ()

    def frames(self, stage: str | None = None) -> Iterator[np.ndarray]:
        """The pictures, uint8 [H, W, 3], one for each row of the track; progress is reported as `stage`."""
        pictures = read_frames(self.clip.path, fps=self.fps, longest_px=self.longest_px)
        for number, frame in enumerate(islice(pictures, len(self.track)), 1):
            yield turn(frame.rgb, self.turns)
            if stage is not None:
                report_progress(stage, number, len(self.track))

    def gap_notes(
        self, absent: str = "these pictures stay unchanged", bridged: str = "they are interpolated"
    ) -> list[str]:
        """Sentences about frames in which the face is not there, or was missed; the arguments say what becomes of them.

        `absent`: outside the spans of the track, where another or no face is shown; `bridged`: short gaps within.
        """
        track, notes = self.track, []
        edges = [0, *(edge for span in track.spans for edge in span), len(track)]
        gone = [(first, end) for first, end in zip(edges[::2], edges[1::2], strict=True) if first < end]
        if gone:
            times = [f"{self._time_s(first):.1f} to {self._time_s(end):.1f} s" for first, end in gone]
            more = f" and {len(gone) - MOST_NAMED} more times" if len(gone) > MOST_NAMED else ""
            notes.append(f"the face is not visible from {', '.join(times[:MOST_NAMED])}{more}; {absent}")
        missed = int((track.present & (track.confidence == 0)).sum())
        if missed:
            notes.append(f"the face was not seen in {missed} of {len(track)} frames; {bridged}")
        return notes

    def _time_s(self, frame: int) -> float:
        """When a frame begins, or the last one ends."""
        times = self.track.times_s
        step_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
        return float(times[frame]) if frame < len(times) else float(times[-1]) + step_s


def track_clip(
    source: Clip | str | Path,
    *,
    fps: float | None = None,
    longest_px: int | None = None,
    face_index: int | None = None,
    end_s: float | None = None,
    upright: bool = False,
    stage: str | None = "tracking the face",
    cached: bool = True,
) -> TrackedClip:
    """Follow one face through a clip, or take its track and notes from the cache.

    `fps`, `longest_px`: see `video.read.read_frames`. Pictures from `end_s` on are left out. `upright`: a clip that
    lies on its side or stands on its head is turned. `stage` names the work for progress (None: not reported).
    `face_index` counts faces from the left, None takes the largest. Raises InputError, FaceError.
    """
    clip = open_clip(source)
    rate = "own" if fps is None else f"{fps:.3f}fps"
    label = f"{rate}-{longest_px or 0}px-{'whole' if end_s is None else f'{end_s:g}s'}{'-upright' * upright}"

    def make() -> _Stored:
        lost: list[str] = []
        turns = clip_turns(clip) if upright else 0
        frames = read_ahead(read_frames(clip.path, fps=fps, longest_px=longest_px, lost=lost), _AHEAD)
        if end_s is not None:
            frames = takewhile(lambda frame, end_s=end_s: frame.time_s < end_s, frames)
        track = track_frames(_counted(frames, turns, stage, _num_frames(clip, fps, end_s)), face_index)
        said = [f"the clip {TURNED[turns]}; it is turned upright"] if turns else []
        return _Stored(track, [*said, *lost], turns)

    found = _cached(clip.path, label, face_index, make) if cached else make()
    return TrackedClip(
        clip=clip, track=found.track, fps=fps, longest_px=longest_px, turns=found.turns, notes=tuple(found.notes)
    )


def clip_turns(clip: Clip) -> int:
    """By how many quarters a clip is turned counter-clockwise to stand upright: as two of its pictures agree, a second
    apart. 0 as soon as one shows an upright face, or when none shows a face."""
    seen: list[int] = []
    for frame in islice(read_frames(clip.path, fps=1, longest_px=LOOKED_AT_PX), LOOKS):
        found = find_faces(frame.rgb, turned=True, faint=False)
        if found.boxes:
            if not found.turns or found.turns in seen:
                return found.turns
            seen.append(found.turns)
    return seen[0] if len(seen) == 1 else 0


def best_frame(tracked: TrackedClip, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture uint8 [H, W, 3] of least `cost` [T] among those that show the face, and its landmarks [478, 3]."""
    best = int(np.argmin(np.where(tracked.track.confidence > 0, cost, np.inf)))
    at_s = float(tracked.track.times_s[best]) if tracked.fps is None else frame_to_time(best, tracked.fps)
    for frame in read_frames(tracked.clip.path, start_s=at_s, fps=tracked.fps, longest_px=tracked.longest_px):
        return turn(frame.rgb, tracked.turns), tracked.track.landmarks[best]
    raise InputError(f"{tracked.clip.path} has changed since its face was tracked; start again")


def save_track(path: str | Path, track: Track, *, notes: tuple[str, ...] = (), **arrays: np.ndarray) -> None:
    """Write a track, and further `arrays` by name, as an .npz file without pickles. Raises OutputError."""
    save_arrays(
        path, landmarks=track.landmarks, times_s=track.times_s, confidence=track.confidence, size=track.size,
        spans=np.array(track.spans, np.int64), notes=np.array(notes, np.str_), **arrays,
    )  # fmt: skip


def load_track(path: str | Path) -> Track:
    """The track in a file that `save_track` wrote. Raises InputError if it is none."""
    return _load(Path(path)).track


class _Stored(NamedTuple):
    """What a track file keeps."""

    track: Track
    notes: list[str]
    turns: int


def _load(path: Path) -> _Stored:
    try:
        # opened here, because np.load leaves a damaged file open
        with path.open("rb") as stored, np.load(stored, allow_pickle=False) as file:
            width, height = (int(v) for v in file["size"])
            track = Track(
                landmarks=file["landmarks"], times_s=file["times_s"], confidence=file["confidence"],
                size=(width, height),
                spans=tuple((int(a), int(b)) for a, b in file["spans"]) if "spans" in file else (),
            )  # fmt: skip
            notes = [str(note) for note in file["notes"]] if "notes" in file else []
            return _Stored(track, notes, int(file["turns"]) if "turns" in file else 0)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a readable track file; make it again") from error


def _cached(path: Path, label: str, face_index: int | None, make: Callable[[], _Stored]) -> _Stored:
    """What is stored, or else made."""
    face = "largest" if face_index is None else face_index
    stored = cache_file("tracks", f"{content_hash(path)[:32]}-{label}-{face}-v{VERSION}.npz")
    if stored is not None and os.path.isfile(stored):
        with contextlib.suppress(InputError):  # damaged: it is made again
            return _load(stored)
    made = make()
    keep_file(
        stored,
        lambda place: save_track(place, made.track, notes=tuple(made.notes), turns=np.array(made.turns)),
    )
    return made


def _num_frames(clip: Clip, fps: float | None, end_s: float | None) -> int:
    """About how many pictures there will be."""
    info = clip.info
    rate = float(info.fps if fps is None else fps)
    return max(1, round(rate * min(info.duration_s, info.duration_s if end_s is None else end_s)))


def _counted(
    frames: Iterator[VideoFrame], turns: int, stage: str | None, total: int
) -> Iterator[tuple[np.ndarray, float]]:
    for number, frame in enumerate(frames, 1):
        yield turn(frame.rgb, turns), frame.time_s
        if stage is not None:
            report_progress(stage, number, max(total, number))
