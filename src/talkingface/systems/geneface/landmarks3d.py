"""What this system calls motion: how 68 points of the face are moved from the mean face's, in centimetres.

One definition for every linear face model. It is linear in the expression, so that motion of other systems on the same
model becomes landmarks, and landmarks become motion.
"""

from __future__ import annotations

import numpy as np

from talkingface.face import bfm
from talkingface.face.morphable import LinearFaceModel

EYES_CM = 6.2128
"""Distance of the middles of a mean face's eyes."""
_TO_PUBLISHED = np.array([1.0, -1.0, -1.0])  # models have y down and z away
_PRIOR = 1e-4


def landmark_displacements(
    model: LinearFaceModel, identity: np.ndarray | None, expression: np.ndarray, *, released: bool = False
) -> np.ndarray:
    """Displacements [T, 68, 3], x right, y up, z to the viewer, of expressions [T, E] and a person or persons
    [K] or [T, K]; None: of the expression alone.

    `released`: as released weights of the Basel model know them. There every landmark is the vertex after the one that
    is meant, because the model's numbers count from 1 and were taken to count from 0.

    Example: `landmark_displacements(load_mesh478(), None, motion.expression)`
    """
    vertices = model.landmarks68 + int(released)
    moved = np.einsum("vde,te->tvd", model.expression[vertices], np.asarray(expression, np.float64))
    if identity is not None:
        person = np.asarray(identity, np.float64).reshape(-1, model.identity.shape[-1])
        moved = moved + np.einsum("vde,te->tvd", model.identity[vertices], person)
    return moved * _TO_PUBLISHED * centimetres(model)


def expression_of_landmarks(model: LinearFaceModel, displacements: np.ndarray, prior: float = _PRIOR) -> np.ndarray:
    """The expressions [T, E] that move the landmarks by [T, 68, 3] centimetres, without a person's part.

    `prior`: how much large coefficients cost, in square centimetres.
    """
    basis = (model.expression[model.landmarks68] * (_TO_PUBLISHED * centimetres(model))[:, None]).astype(np.float64)
    flat = basis.reshape(-1, basis.shape[-1])
    gram = flat.T @ flat + prior * np.eye(flat.shape[1])
    return np.linalg.solve(gram, flat.T @ displacements.reshape(len(displacements), -1).T).T


def centimetres(model: LinearFaceModel) -> float:
    """Centimetres in one unit of the model, by the distance of its eyes."""
    if model.name == bfm.NAME:
        return 10.0  # exactly, which released weights rely on
    eyes = model.mean[model.landmarks68[36:48]].reshape(2, 6, 3).mean(1)
    return EYES_CM / float(np.linalg.norm(eyes[1] - eyes[0]))
