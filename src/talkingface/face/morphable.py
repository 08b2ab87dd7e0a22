"""Linear face models: one interface for our `mesh478` and for the Basel model that a user brings (`face/bfm.py`).

A shape is mean + identity basis @ identity + expression basis @ expression, [V, 3] in model units, in the axes of
`face/camera.py`: x points right in the picture, y down, z away from the viewer. For `mesh478` one unit is the mean
face's distance between the outer eye corners (points 33 and 263) and the origin is the centre of the stable points
(`pose.STABLE_POINTS`). Its expression columns: `mouth` first (jaw, lips, cheeks), then `brow`. 0 is neutral, mouth
closed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from talkingface.core.types import NUM_POINTS, Track
from talkingface.face.pose import STABLE_POINTS, fit_similarity, undo_similarity
from talkingface.face.topology import FACE_68, INNER_LIP_LOWER, INNER_LIP_UPPER

POSE_ROUNDS = 3
CLOSED_GAP, OPEN_GAP = 0.02, 0.08  # inner-lip gap over eye distance: lips together, teeth showing
SMILE_REMOVED = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFaceModel:
    """A linear 3D face model.

    `mean` float32 [V, 3]; `identity` [V, 3, K] and `expression` [V, 3, E], columns scaled so that
    coefficients have standard deviation 1 over people / over talking; `num_mouth` leading expression columns
    belong to the mouth; `triangles` int32 [F, 3]; `noise` standard deviation of points about the model in model units.

    `landmarks` int [N]: the vertices that stand for the tracked points `tracked` int [N] of the 478 of a `Track`.
    `landmarks68` int [68]: the vertices of the iBUG scheme. Models with colour have `mean_texture` float32 [V, 3] (RGB,
    0 to 255) and `texture` [V, 3, K2]; without, both are None.
    """

    name: str
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    num_mouth: int
    triangles: np.ndarray
    noise: float
    landmarks: np.ndarray
    tracked: np.ndarray
    landmarks68: np.ndarray
    mean_texture: np.ndarray | None = None
    texture: np.ndarray | None = None

    def shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Vertices [..., V, 3] in model units for coefficients [..., K] and [..., E]."""
        return self.mean + self.identity @ identity + np.einsum("vde,...e->...vd", self.expression, expression)

    def albedo(self, texture: np.ndarray) -> np.ndarray:
        """Colours [V, 3], RGB 0 to 255, of texture coefficients [K2]. Raises ValueError for a model without colour."""
        if self.mean_texture is None or self.texture is None:
            raise ValueError(f"the face model {self.name} has no colours")
        return self.mean_texture + self.texture @ texture

    def displacement(self, expression: np.ndarray) -> np.ndarray:
        """What an expression [..., E] adds to a neutral shape: [..., V, 3] in model units."""
        return np.einsum("vde,...e->...vd", self.expression, np.asarray(expression, np.float32))

    def expression_of(self, displacement: np.ndarray, prior: float = 1.0) -> np.ndarray:
        """Expression [..., E] that best explains displacements [..., V, 3] from the neutral, under a Gaussian prior."""
        basis = self.expression.reshape(-1, self.expression.shape[-1]).astype(np.float64)
        gram = basis.T @ basis + prior * self.noise**2 * np.eye(basis.shape[1])
        flat = displacement.reshape(*displacement.shape[:-2], -1)
        return np.linalg.solve(gram, (flat @ basis)[..., None])[..., 0].astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFit:
    """A face split into person and expression.

    `neutral` [V, 3] model units: this person with relaxed face and closed mouth (details beyond the basis kept);
    `resting` [V, 3]: the same with a closed smile kept, the shape that speech starts from;
    `identity` [K]; `expression` [T, E]; `rotation` [T, 3, 3], `scale` [T] pixels per unit, `translation` [T, 3] pixels.
    """

    neutral: np.ndarray
    resting: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray


def fit_photo(model: LinearFaceModel, landmarks: np.ndarray) -> FaceFit:
    """Separate neutral shape, expression and pose of one face, landmarks [V, 3] in pixels.

    Maximum a posteriori under the model's Gaussian priors; what the model cannot explain stays with
    the person, except an open mouth, which is closed in `neutral` (see `close_mouth`).
    """
    basis = np.concatenate([model.identity, model.expression], -1).reshape(model.mean.size, -1).astype(np.float64)
    gram = basis.T @ basis + model.noise**2 * np.eye(basis.shape[1])
    shape = model.mean.astype(np.float64)
    rounds = 0
    while True:
        pose = fit_similarity(shape[STABLE_POINTS], landmarks[STABLE_POINTS])
        upright = undo_similarity(landmarks.astype(np.float64), *pose)
        coeffs = np.linalg.solve(gram, basis.T @ (upright - model.mean).ravel())
        rounds += 1
        if rounds == POSE_ROUNDS:
            break
        shape = model.mean + (basis @ coeffs).reshape(model.mean.shape)
    identity, expression = np.split(coeffs.astype(np.float32), [model.identity.shape[-1]])
    neutral = close_mouth(model, upright - model.displacement(expression))
    # what of the expression to keep: a closed smile belongs to a portrait, bared teeth do not survive speech
    openness = np.clip((inner_lip_gap(upright) - CLOSED_GAP) / (OPEN_GAP - CLOSED_GAP), 0, 1)
    resting = close_mouth(model, upright - SMILE_REMOVED * openness * model.displacement(expression))
    rotation, scale, translation = pose
    return FaceFit(
        neutral=neutral.astype(np.float32),
        resting=resting.astype(np.float32),
        identity=identity,
        expression=expression[None],
        rotation=rotation[None],
        scale=scale[None],
        translation=translation[None],
    )


def fit_track(model: LinearFaceModel, track: Track, neutral: np.ndarray | None = None) -> FaceFit:
    """Split a whole track: the person's neutral (from its quietest frames unless given), expression and pose."""
    points = track.landmarks.astype(np.float64)
    shape = model.mean if neutral is None else neutral
    rounds = 0
    while True:
        pose = fit_similarity(shape[STABLE_POINTS], points[:, STABLE_POINTS])
        upright = undo_similarity(points, *pose)
        rounds += 1
        if neutral is not None:
            break
        shape = quiet_shape(upright[track.present])
        if rounds == POSE_ROUNDS:
            neutral = close_mouth(model, shape)
            break
    expression = model.expression_of((upright - neutral).astype(np.float32))
    return FaceFit(
        neutral=neutral.astype(np.float32),
        resting=neutral.astype(np.float32),
        identity=np.zeros(model.identity.shape[-1], np.float32),
        expression=expression,
        rotation=pose[0],
        scale=pose[1],
        translation=pose[2],
    )


def quiet_shape(upright: np.ndarray) -> np.ndarray:
    """A person's resting shape [V, 3] from pose-free frames [T, V, 3]: the mean of those with the least open mouth."""
    gap = inner_lip_gap(upright)
    return upright[gap <= np.percentile(gap, 15)].mean(0)


def inner_lip_gap(points: np.ndarray) -> np.ndarray:
    """Mean distance of five inner-lip pairs over that of the outer eye corners; points [..., V, 3] -> [...]."""
    upper, lower = [13, 82, 312, 81, 311], [14, 87, 317, 178, 402]
    gap = np.linalg.norm(points[..., upper, :] - points[..., lower, :], axis=-1).mean(-1)
    return gap / np.linalg.norm(points[..., 33, :] - points[..., 263, :], axis=-1)


def close_mouth(model: LinearFaceModel, shape: np.ndarray) -> np.ndarray:
    """`shape` [V, 3] with its inner lips together, following the model's own way of closing first."""
    shape = np.array(shape, np.float64)
    opening = shape[list(INNER_LIP_LOWER)] - shape[list(INNER_LIP_UPPER)]
    basis = model.expression[..., : model.num_mouth]
    moves = basis[list(INNER_LIP_LOWER)] - basis[list(INNER_LIP_UPPER)]
    flat = moves.reshape(-1, model.num_mouth).astype(np.float64)
    gram = flat.T @ flat + (2 * model.noise) ** 2 * np.eye(model.num_mouth)
    shape -= basis @ np.linalg.solve(gram, flat.T @ opening.ravel())
    for upper, lower in zip(INNER_LIP_UPPER[1:-1], INNER_LIP_LOWER[1:-1], strict=True):
        rest = shape[lower] - shape[upper]
        shape[upper] += 0.35 * rest  # what is left: the lower lip does most of the way
        shape[lower] -= 0.65 * rest
    return shape


def model_from_tensors(tensors: dict[str, np.ndarray]) -> LinearFaceModel:
    """`mesh478` from its saved tensors (see `model_to_tensors`)."""
    return LinearFaceModel(
        name="mesh478",
        mean=tensors["mean"].astype(np.float32),
        identity=tensors["identity"].astype(np.float32),
        expression=tensors["expression"].astype(np.float32),
        num_mouth=int(tensors["num_mouth"].item()),
        triangles=tensors["triangles"].astype(np.int32),
        noise=float(tensors["noise"].item()),
        **mesh478_landmarks(),
    )


def mesh478_landmarks() -> dict[str, np.ndarray]:
    """The landmark fields of a model whose vertices are the 478 points themselves."""
    every = np.arange(NUM_POINTS)
    return {"landmarks": every, "tracked": every, "landmarks68": np.array(FACE_68)}


def model_to_tensors(model: LinearFaceModel) -> dict[str, np.ndarray]:
    """Arrays to save."""
    return {
        "mean": model.mean.astype(np.float32),
        "identity": model.identity.astype(np.float32),
        "expression": model.expression.astype(np.float32),
        "num_mouth": np.array(model.num_mouth, np.int32),
        "triangles": model.triangles.astype(np.int32),
        "noise": np.array(model.noise, np.float32),
    }


@functools.cache
def load_mesh478() -> LinearFaceModel:
    """The shipped `mesh478` (weights `mesh478.v1`). Raises WeightsError when it is missing or altered."""
    from talkingface.core.weights import find_weights, load_weights

    return model_from_tensors(load_weights(find_weights("mesh478.v1")).tensors)
