"""The place of a face in the 224 x 224 crop: one scale and one roll for a clip, and a smoothed shift a frame.

Matrices [2, 3] send picture to crop and are OpenCV's: they count in pixel numbers, whose centres are whole numbers. The
project's points have pixel centres at one half (`core.types`); `three_points` and `to_crop` convert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

SIZE_PX = 224
TEMPLATE = np.array([[87.0, 59.0], [137.0, 59.0], [112.0, 120.0]])
"""Where the eye at the image's left, the one at its right and the mouth belong, in pixel numbers of the crop."""
KEPT, NEW = 0.2, 0.8
"""Shares of the shift before and of the frame's own in the smoothed shift."""
EYE_POINTS_LEFT = (33, 160, 158, 133, 153, 144)
EYE_POINTS_RIGHT = (362, 385, 387, 263, 373, 380)
MOUTH_POINTS = (78, 82, 13, 312, 308, 317, 14, 87)
"""Points of the face mesh whose means stand for the means over 36..41, 42..47 and 60..67 of the 68 points."""
HEAD_FRAMES = 6.0
"""Over how many frames (standard deviation) `head_shifts` smooths: a syllable is shorter, a nod longer."""

Border = Literal["black", "replicate", "reflect"]
_BORDERS = {"black": cv2.BORDER_CONSTANT, "replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}
_ALIASES_BELOW = 0.6
"""Scale below which bilinear sampling alone would skip pixels."""


def three_points(landmarks: np.ndarray) -> np.ndarray:
    """Eyes and mouth of a face mesh: points [T, 478, 2 or 3] of a `Track` -> float64 [T, 3, 2] in pixel numbers."""
    return mean_points(landmarks, (EYE_POINTS_LEFT, EYE_POINTS_RIGHT, MOUTH_POINTS)) - 0.5


def mean_points(landmarks: np.ndarray, groups: Iterable[Iterable[int]]) -> np.ndarray:
    """Means over groups of points: [T, V, 2 or 3] -> float64 [T, G, 2]."""
    return np.stack([landmarks[:, list(group), :2].mean(axis=1, dtype=np.float64) for group in groups], axis=1)


def alignment(points: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """A clip's matrices float64 [T, 2, 3] from its three points [T, 3, 2]; a photo is a clip of one frame.

    `seen` bool [T]: frames whose points were found and not filled in; only they count in the average.
    """
    return np.stack(list(follow(similarity(points, seen), points)))


def similarity(points: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """The least-squares similarity float64 [2, 3] from the average of the points [T, 3, 2] to the template (Umeyama).

    One for the whole clip: fitted to each frame, the face would grow and shrink with every movement of the mouth.
    Raises ValueError if the average points coincide.
    """
    # points that were filled in over a gap would pull the average off the face
    counted = points[seen] if seen is not None and seen.any() else points
    source = counted.mean(axis=0, dtype=np.float64)
    centred, target = source - source.mean(axis=0), TEMPLATE - TEMPLATE.mean(axis=0)
    spread = float((centred**2).sum())
    if spread < 1e-6:
        raise ValueError("eyes and mouth lie in one point; there is no face to align")
    u, singular, vt = np.linalg.svd(target.T @ centred)
    signs = np.array([1.0, np.sign(np.linalg.det(u @ vt))])  # a rotation, never a reflection
    matrix = (u * signs) @ vt * (singular @ signs / spread)
    return np.column_stack([matrix, TEMPLATE.mean(axis=0) - matrix @ source.mean(axis=0)])


def follow(fixed: np.ndarray, points: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Matrices [2, 3] of frames as they come: `fixed` (a `similarity`), shifted so that the mouth [3, 2] stays put.

    The shift is smoothed; the first frame takes its own.
    """
    shift = None
    for three in points:
        wanted = TEMPLATE[2] - (fixed[:, :2] @ three[2] + fixed[:, 2])
        shift = wanted if shift is None else KEPT * shift + NEW * wanted
        moved = fixed.copy()
        moved[:, 2] += shift
        yield moved


def head_shifts(matrices: np.ndarray) -> np.ndarray:
    """Shifts [T, 2] that make a clip's crops (`alignment`, [T, 2, 3]) follow the head and not the mouth.

    The published alignment keeps the mouth's centre in place, so the eyes rise when it opens: speech could be
    learned from a pose code. Poses are measured on crops that are shifted so.
    """
    shifts = matrices[..., 2].astype(np.float64)
    return gaussian_filter1d(shifts, HEAD_FRAMES, axis=0, mode="nearest") - shifts


def warp(rgb: np.ndarray, matrix: np.ndarray, border: Border = "black") -> np.ndarray:
    """The crop uint8 [224, 224, 3] of a picture uint8 [H, W, 3]. `border`: what lies beyond the picture's edge.

    The original paints it black; "replicate" continues the picture, "reflect" may show a mouth twice. Unlike the
    original, large pictures are averaged down first, since sampling every third pixel makes edges crawl.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < _ALIASES_BELOW:
        height, width = rgb.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        # averaging keeps a picture's corners in place, the warp its pixel centres: they are half a pixel apart
        factors = np.array([width / size[0], height / size[1]])
        moved = matrix[:, 2] + matrix[:, :2] @ (0.5 * factors - 0.5)
        matrix = np.column_stack([matrix[:, :2] * factors, moved])
    return cv2.warpAffine(
        rgb, matrix, (SIZE_PX, SIZE_PX), flags=cv2.INTER_LINEAR, borderMode=_BORDERS[border], borderValue=(0, 0, 0)
    )


def to_crop(landmarks: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Points [T, V, 2 or 3] of the pictures -> float64 [T, V, 2] in the crops, pixel centres at one half in both."""
    return np.einsum("tij,tvj->tvi", matrices[:, :, :2], landmarks[..., :2] - 0.5) + matrices[:, None, :, 2] + 0.5


def outside(matrix: np.ndarray, size: tuple[int, int]) -> float:
    """The share of the crop that lies beyond a picture of `size` (width, height), in [0, 1]."""
    whole = np.full((size[1], size[0]), 255, np.uint8)
    return 1 - float(cv2.warpAffine(whole, matrix, (SIZE_PX, SIZE_PX)).mean()) / 255
