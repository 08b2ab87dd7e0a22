"""Mouth measures of tracked points.

`gap` is the mean distance of the five inner-lip pairs 13-14, 82-87, 312-317, 81-178, 311-402; `width` the distance of
the mouth corners 61-291; `jaw` that of chin and nose tip 152-1; all over the distance of the outer eye corners 33-263.
Distances in three dimensions do not change when the head turns, so they need no pose removal; given points with x and y
only, the same formulas measure the picture.
"""

from __future__ import annotations

import numpy as np

from talkingface.face.morphable import LinearFaceModel

UPPER_LIP = (13, 82, 312, 81, 311)
LOWER_LIP = (14, 87, 317, 178, 402)


def mouth_measures(points: np.ndarray) -> np.ndarray:
    """gap, width and jaw of tracked points [..., 478, 2 or 3] in any unit: float [..., 3], inter-ocular distances.

    >>> mouth_measures(np.zeros((4, 478, 3)) + np.arange(478)[:, None]).shape
    (4, 3)
    """

    def distance(a: int, b: int) -> np.ndarray:
        return np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1)

    gap = np.mean([distance(upper, lower) for upper, lower in zip(UPPER_LIP, LOWER_LIP, strict=True)], axis=0)
    measures = np.stack([gap, distance(61, 291), distance(152, 1)], axis=-1)
    return measures / np.maximum(distance(33, 263), 1e-9)[..., None]


def measure_matrix(model: LinearFaceModel) -> np.ndarray:
    """float32 [3, M]: how gap, width and jaw of the mean face change per unit of each mouth coefficient."""
    basis = model.expression[..., : model.num_mouth].astype(np.float64)
    step = 1e-3 * basis
    # The gap is a distance and never negative: measure about an open mouth, where it is linear.
    middle = model.mean + _opening(model, basis)
    columns = [
        (mouth_measures(middle + step[..., k]) - mouth_measures(middle - step[..., k])) / 2e-3
        for k in range(basis.shape[-1])
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _opening(model: LinearFaceModel, basis: np.ndarray) -> np.ndarray:
    away = (basis[14] - basis[13])[1]  # how each coefficient parts the middle of the lips
    return basis @ (away * 0.12 / (away @ away))
