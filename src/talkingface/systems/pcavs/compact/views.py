"""The inputs of the pose and mouth networks: the square without its mouth, and the mouth alone.

The pose network never gets the mouth, so no speech can leak through the pose code; the mouth network gets nothing else.
In the original one encoder had both, and the separation was learned. All boxes have fixed sizes and follow the tip of
the nose, because the crop's scale is fixed for a clip.
"""

from __future__ import annotations

import cv2
import numpy as np

from talkingface.systems.pcavs.alignment.crop import EYES, view

NOSE_TIP = 1
HIDDEN_TOP, HIDDEN_BOTTOM, HIDDEN_ASIDE = 0.18, 1.7, 0.85
"""The box that is hidden from the pose network, from the tip of the nose, in eye distances."""
MOUTH_BELOW, MOUTH_HALF = 0.68, 0.66
"""Centre and half side of the mouth network's square, likewise."""


def hide_mouth(square: np.ndarray, points: np.ndarray, eyes: float = EYES) -> np.ndarray:
    """A square uint8 [S, S, 3] with points [478, 2], everything below the nose grey. `eyes`: their distance there."""
    side = len(square)
    x, y = points[NOSE_TIP]
    corners = [x - HIDDEN_ASIDE * eyes, y + HIDDEN_TOP * eyes, x + HIDDEN_ASIDE * eyes, y + HIDDEN_BOTTOM * eyes]
    left, top, right, bottom = (max(0, round(float((value + 1) / 2 * side))) for value in corners)
    hidden = square.copy()
    hidden[top:bottom, left:right] = 128
    return hidden


def pose_view(square: np.ndarray, points: np.ndarray, size_px: int, eyes: float = EYES) -> np.ndarray:
    """The pose network's picture of a square uint8 [S, S, 3] with points [478, 2]: uint8 [size_px, size_px, 3]."""
    return cv2.resize(hide_mouth(square, points, eyes), (size_px, size_px), interpolation=cv2.INTER_AREA)


def mouth_view(square: np.ndarray, points: np.ndarray, size_px: int, eyes: float = EYES) -> np.ndarray:
    """The mouth network's picture of a square uint8 [S, S, 3] with points [478, 2]: grey uint8 [size_px, size_px]."""
    side = len(square)
    centre = (points[NOSE_TIP] + (0, MOUTH_BELOW * eyes) + 1) / 2 * side - 0.5
    scale = size_px / (MOUTH_HALF * eyes * side)
    matrix = np.column_stack([np.eye(2) * scale, (size_px - 1) / 2 - centre * scale])
    return cv2.cvtColor(view(square, matrix, size_px), cv2.COLOR_RGB2GRAY)
