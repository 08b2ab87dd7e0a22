"""What the compact networks look at: the face, the picture without its mouth, and the mouth alone.

The pose network never sees the mouth, so no mouth can leak through the pose code; the mouth network sees nothing else.
All boxes have fixed sizes and follow the tip of the nose, because the crop's scale is fixed for a clip.

Points here are in [-1, 1] over the networks' square; eyes are `EYES` apart there.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkingface.systems.pcavs.alignment.crop import COLUMNS, ROWS

SIDE_PX = COLUMNS.stop - COLUMNS.start
"""Side of the part of a crop that the networks see, in pixels of the crop."""
EYES = 2 * 50 / SIDE_PX
"""Distance of the eyes' centres."""
STEADY_FRAMES = 6.0
"""Over how many frames (standard deviation) the crop follows the head."""
NOSE_TIP = 1
HIDDEN_TOP, HIDDEN_BOTTOM, HIDDEN_ASIDE = 0.18, 1.7, 0.85
"""The box that the pose network does not see, from the tip of the nose, in eye distances."""
MOUTH_BELOW, MOUTH_HALF = 0.68, 0.66
"""Centre and half side of the square that the mouth network sees, likewise."""


def square_matrix(size_px: int) -> np.ndarray:
    """Crop -> the networks' square of `size_px`: float64 [2, 3] for OpenCV's pixel numbers."""
    scale = size_px / SIDE_PX
    start = np.array([COLUMNS.start, ROWS.start])
    return np.column_stack([np.eye(2) * scale, (0.5 - start) * scale - 0.5])


def steadying(matrices: np.ndarray) -> np.ndarray:
    """Shifts [T, 2] that make a clip's crops (`align.alignment`, [T, 2, 3]) follow the head and not the mouth.

    The published alignment keeps the mouth's centre in place, so eyes rise when it opens: a pose code would hear it.
    """
    shifts = matrices[..., 2].astype(np.float64)
    return gaussian_filter1d(shifts, STEADY_FRAMES, axis=0, mode="nearest") - shifts


def shifted(matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """`matrix` [2, 3] for a picture that is first moved by `shift` [2]."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ shift])


def view(rgb: np.ndarray, matrix: np.ndarray, size_px: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """A picture uint8 [H, W, 3] through `matrix` [2, 3] (pixel numbers): uint8 [size_px, size_px, 3].

    `border` is OpenCV's way beyond the picture's edges.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.7:
        rgb = cv2.GaussianBlur(rgb, (0, 0), 0.35 / scale)
    return cv2.warpAffine(rgb, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=border)


def on_square(points: np.ndarray, matrix: np.ndarray, size_px: int) -> np.ndarray:
    """Points [..., 2] of a picture (pixel centres at one half) through `matrix`, in [-1, 1]: float32 [..., 2]."""
    pixels = (points - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    return (pixels * (2 / size_px) - 1).astype(np.float32)


def hide_mouth(square: np.ndarray, points: np.ndarray, eyes: float = EYES) -> np.ndarray:
    """A square uint8 [S, S, 3] with points [478, 2], everything below the nose painted grey."""
    side = len(square)
    x, y = points[NOSE_TIP]
    corners = [x - HIDDEN_ASIDE * eyes, y + HIDDEN_TOP * eyes, x + HIDDEN_ASIDE * eyes, y + HIDDEN_BOTTOM * eyes]
    left, top, right, bottom = (max(0, round(float((value + 1) / 2 * side))) for value in corners)
    hidden = square.copy()
    hidden[top:bottom, left:right] = 128
    return hidden


def pose_view(square: np.ndarray, points: np.ndarray, size_px: int, eyes: float = EYES) -> np.ndarray:
    """What the pose network sees of a square uint8 [S, S, 3] with points [478, 2]: uint8 [size_px, size_px, 3]."""
    return cv2.resize(hide_mouth(square, points, eyes), (size_px, size_px), interpolation=cv2.INTER_AREA)


def mouth_view(square: np.ndarray, points: np.ndarray, size_px: int, eyes: float = EYES) -> np.ndarray:
    """What the mouth network sees of a square uint8 [S, S, 3] with points [478, 2]: grey uint8 [size_px, size_px]."""
    side = len(square)
    centre = (points[NOSE_TIP] + (0, MOUTH_BELOW * eyes) + 1) / 2 * side - 0.5
    scale = size_px / (MOUTH_HALF * eyes * side)
    matrix = np.column_stack([np.eye(2) * scale, (size_px - 1) / 2 - centre * scale])
    return cv2.cvtColor(view(square, matrix, size_px), cv2.COLOR_RGB2GRAY)
