"""Measured features of a head, in the units of the pose map: what pose codes are trained to hold and later moved by."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from talkingface.core.types import Track
from talkingface.face.blink import eye_closure
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.systems.pcavs.alignment.align import (
    EYE_POINTS_LEFT,
    EYE_POINTS_RIGHT,
    similarity,
    three_points,
    to_crop,
)
from talkingface.systems.pcavs.alignment.crop import EYES, on_square, square_matrix

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
MOST = np.array([3.5, 3.5, 3.5, 2.5, 2.5, 1.5, 9, 9], np.float32)
"""How far features may lead a face from its mean, softly: further than in training, nothing is drawn well."""


def pose_features(rotation: np.ndarray, points: np.ndarray, closure: float, brows: float) -> np.ndarray:
    """Rotation vector (3), place (2), size, closed eyes, raised brows: float32 [8].

    `rotation` [3, 3]; `points` [478, 2] in [-1, 1] of the networks' square; `closure` and `brows` in their units.
    """
    left, right = points[list(EYE_POINTS_LEFT)].mean(0), points[list(EYE_POINTS_RIGHT)].mean(0)
    nose = points[list(NOSE_BRIDGE)].mean(0)
    # a logarithm: growing and shrinking by the same factor are as far from the mean
    size = np.log(max(float(np.linalg.norm(right - left)), 0.05) / EYES)
    turn = Rotation.from_matrix(rotation).as_rotvec() / TURN_UNIT
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


def track_features(track: Track) -> np.ndarray:
    """Features float32 [T, 8] of a tracked head about their mean, softly limited.

    Places are those in one fixed crop: how a head moves through the picture is part of its pose, too.
    """
    fixed = similarity(three_points(track.landmarks), track.confidence > 0)
    crop = to_crop(track.landmarks, np.repeat(fixed[None], len(track), axis=0))
    points = on_square(crop, square_matrix(2), 2)
    rotation = fit_track(load_mesh478(), track).rotation
    rows = zip(rotation, points, closures(crop), raised_brows(crop), strict=True)
    features = np.stack([pose_features(*row) for row in rows])
    away = features - features.mean(axis=0)
    return MOST * np.tanh(away / MOST)
