"""Measured facts of a head, in the units of the pose map: what pose codes are asked for in training, later moved by."""

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
from talkingface.systems.pcavs.compact.views import EYES, on_square, square_matrix
from talkingface.systems.pcavs.pose.pose_map import CLOSURE_UNIT, PLACE_UNIT, SIZE_UNIT, TURN_UNIT

BROWS_UNIT = 2.5
"""Pixels of the crop that count as one."""
BROWS_LEFT, BROWS_RIGHT = (105, 66, 107), (334, 296, 336)
NOSE_BRIDGE = (168, 6, 197, 195)
"""Points that no mouth moves."""
MOST = np.array([3.5, 3.5, 3.5, 2.5, 2.5, 1.5, 9, 9], np.float32)
"""How far facts may lead a face from its mean, softly: further than in training nothing is drawn well."""


def pose_facts(rotation: np.ndarray, points: np.ndarray, closure: float, brows: float) -> np.ndarray:
    """rotation vector (3), place (2), size, closed eyes, raised brows: float32 [8].

    `rotation` [3, 3]; `points` [478, 2] in [-1, 1] of the networks' square; `closure` and `brows` in their units.
    """
    left, right = points[list(EYE_POINTS_LEFT)].mean(0), points[list(EYE_POINTS_RIGHT)].mean(0)
    nose = points[list(NOSE_BRIDGE)].mean(0)
    size = np.log(max(float(np.linalg.norm(right - left)), 0.05) / EYES)
    turn = Rotation.from_matrix(rotation).as_rotvec() / TURN_UNIT
    place = nose[0] / PLACE_UNIT, (nose[1] + 0.25) / PLACE_UNIT
    return np.array([*turn, *place, size / SIZE_UNIT, closure, brows], np.float32)


def closures(points: np.ndarray) -> np.ndarray:
    """How far the eyes of points [T, 478, 2] are shut, [T]."""
    return eye_closure(points)[:, 0] / CLOSURE_UNIT


def raised_brows(points: np.ndarray) -> np.ndarray:
    """How far the brows of crop points [T, 478, 2] are raised above their usual height, [T]."""
    eyes, brows = [*EYE_POINTS_LEFT, *EYE_POINTS_RIGHT], [*BROWS_LEFT, *BROWS_RIGHT]
    height = points[:, eyes, 1].mean(1) - points[:, brows, 1].mean(1)
    return np.clip((height - np.median(height)) / BROWS_UNIT, -3, 3)


def track_facts(track: Track) -> np.ndarray:
    """Facts float32 [T, 8] of a tracked head about their mean, softly limited.

    Places are those in one fixed crop: how a head moves through the picture is part of its pose, too.
    """
    fixed = similarity(three_points(track.landmarks), track.confidence > 0)
    crop = to_crop(track.landmarks, np.repeat(fixed[None], len(track), axis=0))
    points = on_square(crop, square_matrix(2), 2)
    rotation = fit_track(load_mesh478(), track).rotation
    rows = zip(rotation, points, closures(crop), raised_brows(crop), strict=True)
    facts = np.stack([pose_facts(*row) for row in rows])
    away = facts - facts.mean(axis=0)
    return MOST * np.tanh(away / MOST)
