"""The refined mesh of one person, moved by expression and lids: linear, so that a frame costs one product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkingface.face.eyelids import close_lids
from talkingface.face.gaze import EYEBALL
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.subdivision import mesh478_surface

MOST_OPAQUE = 0.98
MOST_RADIUS = 0.15
"""Of the picture's longest side: no splat reaches farther."""
PLACE_SHARE = 0.3
"""By how much less motion moves places than colours, for one number of the basis."""
DEPTH_SHARE = 0.2
STEEP = 3.0
"""Of the logistic functions that give colours, opacities and how far splats follow the head."""
BENT = 0.5
"""How much of the basis the network adds to its direct part."""
BODY_PX, BODY_BENT_PX = 8.0, 2.0
"""Pixels by which the body's direct part moves nodes for one unit, and the network of the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceShape:
    """`neutral` [V, 3] model units, and how far vertices move by each coefficient [V * 3, E] and by closing lids
    [V, 3]."""

    neutral: np.ndarray
    expression: np.ndarray
    lids: np.ndarray
    eye_distance: float

    @classmethod
    def make(cls, model: LinearFaceModel, neutral: np.ndarray, level: int) -> FaceShape:
        """The mesh of a person whose points at rest are `neutral` [478, 3]."""
        surface = mesh478_surface(level)
        basis = surface.points(np.moveaxis(model.expression, -1, 0))  # [E, V, 3]
        closed = surface.points((close_lids(neutral, 1.0) - neutral).astype(np.float32))
        return cls(
            neutral=surface.points(neutral.astype(np.float32)),
            expression=np.ascontiguousarray(basis.reshape(len(basis), -1).T, dtype=np.float32),
            lids=closed,
            eye_distance=float(np.linalg.norm(neutral[33] - neutral[263])),
        )

    def vertices(self, expression: np.ndarray, closure: float) -> np.ndarray:
        """Vertices float32 [V, 3] in model units."""
        moved = (self.expression @ np.asarray(expression, np.float32)).reshape(-1, 3)
        return self.neutral + moved + np.float32(closure) * self.lids

    def look(self, in_head: np.ndarray) -> np.ndarray:
        """How far irises stand from rest, [2] model units, for eyes that look at `in_head` [2] radians."""
        return EYEBALL * self.eye_distance * np.sin(in_head)


def lattice_weights(points: np.ndarray, size: tuple[int, int], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear interpolation between `side` x `side` nodes over a picture of `size`, at `points` [M, 2] (x, y) px: the
    four nodes around each int64 [M, 4], and their shares float32 [M, 4]."""
    at = np.clip(points / np.array(size) * (side - 1), 0, side - 1)
    low = np.minimum(at.astype(int), side - 2)
    (u, v), corner = (at - low).T, low[:, 1] * side + low[:, 0]
    nodes = np.stack([corner, corner + 1, corner + side, corner + side + 1], 1)
    shares = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], 1)
    return nodes, shares.astype(np.float32)
