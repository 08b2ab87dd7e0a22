"""Measured features of a head, in the units of the pose map: what pose codes are trained to hold and later moved by."""

from __future__ import annotations

import numpy as np
from scipy.spatial import transform

from talkingface.face.blink import eye_closure
from talkingface.systems.pcavs.alignment.align import (
    EYE_POINTS_LEFT,
    EYE_POINTS_RIGHT,
    head_shifts,
)
from talkingface.systems.pcavs.alignment.crop import EYES, on_square, square_matrix
from talkingface.systems.pcavs.data.crops import CropClip

TURN_UNIT, PLACE_UNIT, SIZE_UNIT, CLOSURE_UNIT = 0.2, 0.12, 0.12, 0.35
"""Units of the features, about a standard deviation: radians; halves of the side; logarithm; closure."""
FEATURE_UNITS = np.array([TURN_UNIT] * 3 + [PLACE_UNIT] * 2 + [SIZE_UNIT, CLOSURE_UNIT, 1.0], np.float32)
NUM_TURNS, PLACE_X, PLACE_Y, SIZE, CLOSURE = 3, 3, 4, 5, 6
"""Columns after the rotation vector; the last one is the brows'."""
BROWS_UNIT = 2.5
"""Pixels of the crop that count as one."""
BROWS_LEFT, BROWS_RIGHT = (105, 66, 107), (334, 296, 336)
NOSE_BRIDGE = (168, 6, 197, 195)
"""Points that no mouth moves."""
NOSE_HEIGHT = -0.25
"""Where the nose's bridge usually is in the square, in [-1, 1]."""


def pose_features(rotation: np.ndarray, points: np.ndarray, closure: float, brows: float) -> np.ndarray:
    """Rotation vector (3), place (2), size, closed eyes, raised brows: float32 [8].

    `rotation` [3, 3]; `points` [478, 2] in [-1, 1] of the networks' square; `closure` and `brows` in their units.
    """
    left, right = points[list(EYE_POINTS_LEFT)].mean(0), points[list(EYE_POINTS_RIGHT)].mean(0)
    nose = points[list(NOSE_BRIDGE)].mean(0)
    # a logarithm: growing and shrinking by the same factor are as far from the mean
    size = np.log(max(float(np.linalg.norm(right - left)), 0.05) / EYES)
    turn = transform.Rotation.from_matrix(rotation).as_rotvec() / TURN_UNIT
    place = nose[0] / PLACE_UNIT, (nose[1] - NOSE_HEIGHT) / PLACE_UNIT
    return np.array([*turn, *place, size / SIZE_UNIT, closure, brows], np.float32)


def closures(points: np.ndarray) -> np.ndarray:
    """How far the eyes of points [T, 478, 2] are shut, [T]."""
    return eye_closure(points)[:, 0] / CLOSURE_UNIT


def raised_brows(points: np.ndarray) -> np.ndarray:
    """How far the brows of crop points [T, 478, 2] are raised above their usual height, [T]."""
    eyes, brows = [*EYE_POINTS_LEFT, *EYE_POINTS_RIGHT], [*BROWS_LEFT, *BROWS_RIGHT]
    height = points[:, eyes, 1].mean(1) - points[:, brows, 1].mean(1)
    return np.clip((height - np.median(height)) / BROWS_UNIT, -3, 3)


def crop_features(clip: CropClip) -> np.ndarray:
    """Features float32 [T, 8] of a training clip, whose crops first follow the head."""
    points = clip.landmarks.astype(np.float64) + head_shifts(clip.matrices)[:, None]
    on = on_square(points, square_matrix(2), 2)
    rows = zip(
        transform.Rotation.from_rotvec(clip.pose).as_matrix(), on, closures(points), raised_brows(points), strict=True
    )
    return np.stack([pose_features(*row) for row in rows])
