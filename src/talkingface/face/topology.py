"""Which of the 478 points make which part of the face, and the triangles between them."""

from __future__ import annotations

import functools
from itertools import combinations

import numpy as np

from talkingface.face.networks import face_models

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
INNER_LIP_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LIP_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER_LIP_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LIP_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
RIGHT_EYE_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_EYE_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_EYE_UPPER = (362, 398, 384, 385, 386, 387, 388, 466, 263)
LEFT_EYE_LOWER = (362, 382, 381, 380, 374, 373, 390, 249, 263)
IRISES = tuple(range(468, 478))
BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
LIPS = tuple(sorted({*INNER_LIP_UPPER, *INNER_LIP_LOWER, *OUTER_LIP_UPPER, *OUTER_LIP_LOWER}))

FACE_68 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""Mesh points nearest to the 68 of the iBUG scheme, in its order; the last 20 are the mouth."""

_NOSTRILS = {(49, 64, 129), (279, 294, 358)}  # three-cycles of edges that are no faces


def _between(upper: tuple[int, ...], lower: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Triangles of the opening between two lines of points that share their ends."""
    faces = []
    for k in range(len(upper) - 1):
        if upper[k] != lower[k]:
            faces.append((upper[k], upper[k + 1], lower[k]))
        if upper[k + 1] != lower[k + 1]:
            faces.append((upper[k + 1], lower[k + 1], lower[k]))
    return faces


@functools.cache
def skin_triangles() -> np.ndarray:
    """Triangles int32 [852, 3] of skin and lips; eye and mouth openings are left out."""
    near: dict[int, set[int]] = {}
    for a, b in face_models().arrays["mesh_edges"].tolist():
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    faces = {
        tuple(sorted((a, b, c)))
        for a in near
        for b, c in combinations(near[a], 2)
        if c in near[b]
    }  # fmt: skip
    return np.array(sorted(faces - _NOSTRILS), np.int32)


@functools.cache
def mouth_triangles() -> np.ndarray:
    """Triangles int32 [18, 3] that fill the opening between the inner lips."""
    return np.array(_between(INNER_LIP_UPPER, INNER_LIP_LOWER), np.int32)


@functools.cache
def eye_triangles() -> np.ndarray:
    """Triangles int32 [28, 3] that fill the two eye openings."""
    return np.array(_between(RIGHT_EYE_UPPER, RIGHT_EYE_LOWER) + _between(LEFT_EYE_UPPER, LEFT_EYE_LOWER), np.int32)


@functools.cache
def face_triangles() -> np.ndarray:
    """All triangles of the face: skin, eyes, mouth, in this order."""
    return np.concatenate([skin_triangles(), eye_triangles(), mouth_triangles()])
