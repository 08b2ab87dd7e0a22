"""What drives a published field that was fitted to one of the toolkit's clips: motion as normalised landmarks.

Motion of space mesh478 becomes displacements of 68 points, lids included: the expression does not close eyes, so that
the points of upper lids go down with the motion's blink. What a person was never seen to do is cut off, as published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.core.types import Motion
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.geneface.landmarks3d import centimetres, landmark_displacements
from talkingface.systems.geneface.official.landmarks import CLAMP_STD, clamp

UPPER_LIDS = {37: 41, 38: 40, 43: 47, 44: 46}
"""Points of upper lids, and the ones below them that they meet."""
_KEPT = 0.2
_LEAST_STD = 1e-3  # cm


def motion_landmarks(model: LinearFaceModel, expression: np.ndarray, closure: np.ndarray | None) -> np.ndarray:
    """Landmarks float32 [T, 204] in centimetres of expressions [T, E] and closures of the eyes [T] or [T, 1] in
    [0, 1]."""
    made = landmark_displacements(model, None, expression)
    if closure is not None:
        mean = model.mean[model.landmarks68] * centimetres(model)
        for upper, lower in UPPER_LIDS.items():
            made[:, upper, 1] -= np.asarray(closure, np.float64).reshape(-1) * (mean[lower, 1] - mean[upper, 1])
    return made.reshape(len(made), -1).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """How a person's landmarks move: `mean`, `std`, and the least and the most seen of each, float32 [204]."""

    mean: np.ndarray
    std: np.ndarray
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of(cls, landmarks: np.ndarray) -> Range:
        """Of landmarks [T, 204] that the person showed."""
        std = np.maximum(landmarks.std(0), _LEAST_STD)
        return cls(mean=landmarks.mean(0), std=std, least=landmarks.min(0), most=landmarks.max(0))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Range:
        """The inverse of `tensors`. Raises KeyError."""
        return cls(**{name: tensors[name] for name in ("mean", "std", "least", "most")})

    def tensors(self) -> dict[str, np.ndarray]:
        """Arrays by name."""
        return {name: getattr(self, name) for name in ("mean", "std", "least", "most")}

    def normalised(self, landmarks: np.ndarray) -> np.ndarray:
        """Landmarks [T, 204] in the person's deviations."""
        return (landmarks - self.mean) / self.std

    def kept(self, landmarks: np.ndarray, limit: float = CLAMP_STD) -> np.ndarray:
        """Normalised landmarks, cut at `limit` deviations as published, but never within what the person showed: a
        blink is rare, and so many deviations long."""
        normalised = self.normalised(landmarks)
        inside = np.clip(normalised, self.normalised(self.least), self.normalised(self.most))
        published = clamp(normalised, limit)
        return np.where(np.abs(inside) > np.abs(published), inside, published)


def driven_windows(
    motions: Iterable[Motion], model: LinearFaceModel, seen: Range, size: int, ahead: int | None = None
) -> Iterator[np.ndarray]:
    """What drives each frame of a motion, one after the other: float32 [size, 1, 204], the frame in the middle.

    Movements are kept to the person's range and smoothed; beyond the ends there are the first and the last frame. A
    frame waits for the `size // 2` after it, or for no more than `ahead` (in live use), and is the same however the
    motion is cut.
    """
    before = size // 2
    after = size - before - 1
    known = after if ahead is None else min(ahead, after)
    rows: list[np.ndarray] = []
    last: np.ndarray | None = None

    def window() -> np.ndarray:
        return np.stack((rows + [rows[-1]] * size)[:size]).astype(np.float32)[:, None]

    for motion in motions:
        for row in seen.kept(motion_landmarks(model, motion.expression, motion.blink)).astype(np.float64):
            shown = row if last is None else _KEPT * last + (1 - _KEPT) * row
            rows = rows or [shown] * before
            rows.append(shown)
            last = shown
            if len(rows) == before + 1 + known:
                yield window()
                rows = rows[1:]
    while last is not None and len(rows) > before:
        yield window()
        rows = rows[1:]
