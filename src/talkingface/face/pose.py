"""Head pose: the rotation, scale and translation that bring a face model onto tracked points (weak perspective)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STABLE_POINTS = np.array(
    [10, 338, 297, 332, 284, 109, 67, 103, 54, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 263, 362, 127, 356, 234, 454,
     193, 417, 122, 351, 196, 419, 98, 327, 21, 251, 162, 389]
)  # fmt: skip
"""Points that speech and blinks hardly move: forehead, temples, nose bridge and tip, eye corners, ears' fronts."""


def fit_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The similarity transform that best maps `source` [..., N, D] onto `target` [..., N, D] (Umeyama 1991), D 2 or 3.

    Returns rotation [..., D, D], scale [...], translation [..., D]: target = scale * rotation @ source + translation.
    """
    source, target = np.broadcast_arrays(np.asarray(source, np.float64), np.asarray(target, np.float64))
    mean_s, mean_t = source.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    s, t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(np.swapaxes(t, -1, -2) @ s)
    sign = np.ones(d.shape)
    sign[..., -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (d * sign).sum(-1) / (s**2).sum((-1, -2))
    translation = mean_t[..., 0, :] - scale[..., None] * np.einsum("...ij,...j->...i", rotation, mean_s[..., 0, :])
    return rotation, scale, translation


def apply_similarity(
    points: np.ndarray, rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """scale * rotation @ points + translation for points [..., N, 3]."""
    return np.asarray(scale)[..., None, None] * (points @ np.swapaxes(rotation, -1, -2)) + translation[..., None, :]


def undo_similarity(points: np.ndarray, rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The inverse of `apply_similarity`."""
    return (points - translation[..., None, :]) @ rotation / np.asarray(scale)[..., None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Where a head is, weak perspective: pixel = scale * rotation @ model point + translation.

    `rotation` [3, 3], `scale` pixels per model unit, `translation` [3] pixels.
    """

    rotation: np.ndarray
    scale: float
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Model units [N, 3] to pixels."""
        return apply_similarity(points, self.rotation, np.asarray(self.scale), self.translation)

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Pixels [N, 3] to model units."""
        return undo_similarity(points, self.rotation, np.asarray(self.scale), self.translation)

    def moved(self, factor: float, offset: np.ndarray) -> Pose:
        """The same head in a picture whose pixels are `factor` times as many and whose corner lies at `offset` [2]."""
        shift = np.array([offset[0], offset[1], 0.0])
        return Pose(rotation=self.rotation, scale=self.scale * factor, translation=(self.translation - shift) * factor)


def head_box(points: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """An even-sided square (x0, y0, x1, y1) around head and neck, inside the picture."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side = int(min(2.1 * float((high - low).max()), *size)) // 2 * 2
    x, y = (low + high) / 2 - side / 2
    x0, y0 = int(np.clip(x, 0, size[0] - side)), int(np.clip(y - 0.05 * side, 0, size[1] - side))
    return x0, y0, x0 + side, y0 + side
