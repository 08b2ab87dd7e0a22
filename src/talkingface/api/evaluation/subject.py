"""A video as input of `evaluate`: pictures and face points on one clock of 25 frames per second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkingface.core.errors import FaceError, UsageError
from talkingface.core.timing import num_frames
from talkingface.core.types import Track

CLOCK_FPS = 25
"""Everything is measured on this clock: picture k is the newest one shown at k / 25 s, points are interpolated."""
LONGEST_PX = 1280
"""Larger pictures are scaled down to this before anything is measured."""
LEAST_SEEN = 0.5
LEAST_FRAMES = CLOCK_FPS
ASPECT_TOLERANCE = 0.02
FARTHEST = 0.5
_ROWS = 1000  # at a time, so that long clips need little more than their points


@dataclass(slots=True, kw_only=True)
class Subject:
    """A tracked video.

    `points` float32 [T, 478, 3] pixels of pictures of `size` (width, height), `seen` bool [T] (False: filled in), both
    on the clock; `duration_s` to the end of its last picture; `notes`: sentences about parts that were lost.
    """

    path: Path
    points: np.ndarray
    seen: np.ndarray
    size: tuple[int, int]
    fps: Fraction
    duration_s: float
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.points)

    def first(self, count: int) -> Subject:
        """The same, only its first `count` frames."""
        return Subject(
            path=self.path, points=self.points[:count], seen=self.seen[:count], size=self.size, fps=self.fps,
            duration_s=self.duration_s, notes=self.notes,
        )  # fmt: skip

    def points_in(self, picture: np.ndarray, number: int) -> np.ndarray:
        """Its points in frame `number`, in pixels of `picture` [H, W, 3], which may have another size."""
        return self.points[number] * np.float32(picture.shape[1] / self.size[0])

    def track(self, step: int = 1) -> Track:
        """Every `step`-th frame as a track."""
        rows = slice(None, None, step)
        return Track(
            landmarks=self.points[rows],
            times_s=np.arange(len(self))[rows] / CLOCK_FPS,
            confidence=self.seen[rows].astype(np.float32),
            size=self.size,
        )

    def pictures(self) -> Iterator[np.ndarray]:
        """Its pictures on the clock, uint8 [H, W, 3], one after the other."""
        from talkingface.video.read import read_frames

        return (frame.rgb for frame in read_frames(self.path, fps=CLOCK_FPS, longest_px=LONGEST_PX))


def read_subject(path: Path, role: str) -> Subject:
    """Track the largest face of a video (once: tracks are cached by content) and put it on the clock.

    `role` ("generated", "reference") is for messages. Raises InputError for what is no readable video, FaceError when
    the face is missing from most of it.
    """
    from talkingface.clips.source import open_clip
    from talkingface.clips.tracked import track_clip

    clip = open_clip(path, f"the {role}")
    try:
        tracked = track_clip(clip, longest_px=LONGEST_PX, stage=f"tracking the {role}")
    except FaceError as error:
        raise FaceError(f"the {role} {path.name}: {error}") from error
    share = float((tracked.track.confidence > 0).mean())
    if share < LEAST_SEEN:
        raise FaceError(
            f"the {role} {path.name} shows its face in only {share:.0%} of the frames; at least {LEAST_SEEN:.0%} needed"
        )
    return _on_clock(path, tracked.track, clip.info.fps, list(tracked.notes))


def _on_clock(path: Path, track: Track, fps: Fraction, notes: list[str]) -> Subject:
    end_s = float(track.times_s[-1]) + float(1 / fps)
    count = num_frames(end_s - 0.25 / CLOCK_FPS, CLOCK_FPS)
    times = np.arange(count) / CLOCK_FPS
    after = np.clip(np.searchsorted(track.times_s, times), 1, max(len(track) - 1, 1))
    before = after - 1
    if len(track) == 1:
        points, seen = np.repeat(track.landmarks, count, axis=0), np.repeat(track.confidence > 0, count)
    else:
        span = track.times_s[after] - track.times_s[before]
        part = np.clip((times - track.times_s[before]) / np.maximum(span, 1e-9), 0, 1).astype(np.float32)
        # where a source frame falls on the clock its points are taken as they are
        points = np.empty((count, *track.landmarks.shape[1:]), np.float32)
        for start in range(0, count, _ROWS):
            rows = slice(start, start + _ROWS)
            near = part[rows, None, None]
            points[rows] = track.landmarks[before[rows]] * (1 - near) + track.landmarks[after[rows]] * near
        nearest = np.where(part < 0.5, before, after)
        seen = track.confidence[nearest] > 0
    return Subject(
        path=path, points=points, seen=seen, size=track.size, fps=fps, duration_s=end_s,
        notes=notes,
    )  # fmt: skip


def check_comparable(generated: Subject, reference: Subject) -> None:
    """Raise UsageError with the reason when figures of one video against the other would mean nothing."""
    count = min(len(generated), len(reference))
    if count < LEAST_FRAMES:
        raise UsageError(
            f"the two videos overlap for only {count / CLOCK_FPS:.2f} s; at least {LEAST_FRAMES / CLOCK_FPS:g} s needed"
        )
    (width, height), (true_width, true_height) = generated.size, reference.size
    if abs((width / height) / (true_width / true_height) - 1) > ASPECT_TOLERANCE:
        raise UsageError(
            f"the generated pictures are {width} x {height}, the reference's {true_width} x {true_height}: other "
            "shapes show other parts of the scene; crop the reference as the generated video is cropped"
        )
    ratio = np.float32(true_width / width)
    made, true = generated.points[:count, :, :2], reference.points[:count, :, :2]
    wide = np.ptp(true, axis=1).max(-1)
    apart = np.linalg.norm(ratio * made.mean(1) - true.mean(1), axis=-1) / wide
    scale = ratio * np.ptp(made, axis=1).max(-1) / wide
    if np.median(apart) > FARTHEST or not FARTHEST < np.median(scale) < 1 / FARTHEST:
        raise UsageError(
            f"the faces lie {np.median(apart):.2f} face sizes apart and differ {np.median(scale):.2f} times in size: "
            "the two videos are framed differently; crop the reference as the generated video is cropped"
        )
