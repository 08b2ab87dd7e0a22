"""Tracked, speaking clips as training material for mouth and head motion, all on the 25 fps clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.clips.manifest import PreparedClip, prepared_clips
from talkingface.core.types import Track
from talkingface.face.blink import eye_closure
from talkingface.face.gaze import gaze_rows
from talkingface.face.mesh478_motion import mean_pose, pose_rows
from talkingface.face.morphable import LinearFaceModel, fit_track
from talkingface.face.mouth_measures import mouth_measures

FPS = 25
FREE_LICENCES = ("public-domain", "cc-by")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakingClip:
    """One clip: `samples` float32 [N] at 16 kHz from time 0, and T frames at 25 fps from the same zero.

    `expression` [T, E] and `neutral_measures` [3] come from the face model, `measures` [T, 3] from the points
    (`metrics.mouth`), `pose` [T, 6] is relative to the clip's mean pose as in `Motion`, `blink` [T, 1], `gaze` [T, 2]
    (`face.gaze`), `weight` [T] is 0 where the face was not seen or the frame is held back.
    """

    slug: str
    person: str
    samples: np.ndarray
    expression: np.ndarray
    neutral_measures: np.ndarray
    measures: np.ndarray
    pose: np.ndarray
    blink: np.ndarray
    gaze: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)


def speaking_clips(
    folder: Path, model: LinearFaceModel, *, split: str, free_only: bool = False
) -> Iterator[SpeakingClip]:
    """Clips of a split with usable speech; `free_only` keeps those that are public domain or CC BY."""
    for clip in prepared_clips(folder, split):
        if clip.speaks and (not free_only or clip.licence_class in FREE_LICENCES):
            yield load_speaking_clip(clip, model)


def load_speaking_clip(clip: PreparedClip, model: LinearFaceModel) -> SpeakingClip:
    """Read one prepared clip and describe its motion by `model`; frames that are held back get no weight."""
    track = clip.load_track()
    weight = ((track.confidence > 0) & clip.free(len(track))).astype(np.float32)
    return describe_clip(clip.slug, clip.identity, track, clip.load_samples(), model, weight)


def describe_clip(
    slug: str, person: str, track: Track, samples: np.ndarray, model: LinearFaceModel, weight: np.ndarray | None = None
) -> SpeakingClip:
    """The motion of a tracked clip by `model`, on the clock. `weight` [T]: None counts the frames that were seen."""
    weight = (track.confidence > 0).astype(np.float32) if weight is None else weight
    fit = fit_track(model, track)
    heads = fit.rotation, fit.scale, fit.translation
    pose = pose_rows(*heads, mean_pose(*heads, np.ones(len(track), bool)))
    rows = np.concatenate(
        [
            fit.expression,
            mouth_measures(track.landmarks),
            pose,
            eye_closure(track.landmarks),
            gaze_rows(track.landmarks, pose),
            weight[:, None],
        ],
        axis=1,
    )
    rows = on_clock(rows, track.times_s)
    widths = [fit.expression.shape[1], 3, 6, 1, 2]
    expression, measures, pose, blink, gaze, weight = np.split(rows, np.cumsum(widths), axis=1)
    return SpeakingClip(
        slug=slug,
        person=person,
        samples=samples,
        expression=expression,
        neutral_measures=mouth_measures(fit.neutral).astype(np.float32),
        measures=measures,
        pose=pose,
        blink=blink,
        gaze=gaze,
        weight=(weight[:, 0] == 1).astype(np.float32),
    )


def on_clock(rows: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Rows [T, D] at `times_s` interpolated to k / 25 s, k = 0 .. last: float32 [K, D]."""
    if len(times_s) < 2:
        return rows.astype(np.float32)
    clock = np.arange(int(times_s[-1] * FPS + 1e-3) + 1) / FPS
    after = np.clip(np.searchsorted(times_s, clock, side="right"), 1, len(times_s) - 1)
    share = np.clip((clock - times_s[after - 1]) / np.maximum(times_s[after] - times_s[after - 1], 1e-6), 0, 1)[:, None]
    return (rows[after - 1] * (1 - share) + rows[after] * share).astype(np.float32)
