"""Person, camera and head motion from tracked points: bundle adjustment of a linear face model over a whole clip.

Unknown for the clip: identity and focal length; for each frame: rotation, translation, expression. Gauss-Newton steps
with analytic derivatives; the clip's unknowns come from a selection of frames from which the frames' own are eliminated
(Schur complement), those of all frames from one banded system in which neighbours in time hold each other. So the
motion is smooth, and frames without a face are bridged, by least squares and not by a filter afterwards.

Poses bring the model before the camera: `rotation @ shape + translation` in the axes of `face/camera.py`, model units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import solveh_banded
from torch import Tensor

from talkingface.core.errors import FaceError
from talkingface.core.types import NUM_POINTS, Track
from talkingface.face.blink import eye_closure
from talkingface.face.camera import Camera, rotation_matrix, rotation_vector
from talkingface.face.morphable import LinearFaceModel, close_mouth

GLOBAL_FRAMES = 160  # identity and focal length gain nothing from more
GLOBAL_STEPS, FRAME_STEPS = 14, 5
BATCH = 64
CORRELATED = 8.0  # errors of so many neighbouring points correlate: N of them count as N / 8 independent ones
INDEPENDENT = 8  # a person unlike the model is unlike it in all frames: more frames than this add nothing
OUTLIER = 2.5  # in standard deviations: points farther off count less (Huber)
FOCAL_PRIOR, FOCAL_SPREAD = 1.8, 0.6  # of the frame's longer side, and natural logarithm: from phones to studio lenses
FOCAL_RANGE = (0.4, 12.0)
MOST_CHANGE = 0.5  # of the logarithm in one step
OPEN_EYES = 0.2  # closure up to which a frame shows this person's resting lids

Rows = slice | Tensor

# How far a head strays from even motion: rad and model units (distance: share of it) per frame, then per frame squared.
_POSE_STEP = (0.1, 0.1, 0.1, 0.2, 0.2, 0.03)
_POSE_JOLT = (0.006, 0.006, 0.006, 0.01, 0.01, 0.002)
_EXPRESSION_STEP, _EXPRESSION_JOLT = 3.0, 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFit:
    """A face model laid onto a track of T frames.

    `identity` [K]; `neutral` [V, 3] the person at rest, with what the identity basis cannot say where every vertex is
    tracked; `expression` [T, E]; `rotation` [T, 3, 3] and `translation` [T, 3] before the `camera`, model units.
    """

    camera: Camera
    identity: np.ndarray
    neutral: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def __len__(self) -> int:
        return len(self.expression)


@dataclass(slots=True)
class HeadState:
    """Values under way: rotation vectors, translations and expressions [B, ...], and the clip's resting points `base`
    [N, 3] and focal length."""

    turn: Tensor
    shift: Tensor
    expression: Tensor
    base: Tensor
    focal: float

    @property
    def motion(self) -> Tensor:
        """What belongs to the frames, [B, 6 + E]."""
        return torch.cat([self.turn, self.shift, self.expression], 1)

    def at(self, rows: Rows) -> HeadState:
        """Some of the frames."""
        return replace(self, turn=self.turn[rows], shift=self.shift[rows], expression=self.expression[rows])

    def moved(self, change: Tensor) -> HeadState:
        """After adding `change` [B, 6 + E]."""
        motion = self.motion + change
        return replace(self, turn=motion[:, :3], shift=motion[:, 3:6], expression=motion[:, 6:])


class MovingPoints:
    """Points of a face model [N, 3] that a state moves before a camera, with derivatives."""

    def __init__(self, expression: Tensor, identity: Tensor | None = None) -> None:
        """Bases [N, 3, E] and [N, 3, K] of the points."""
        self.expression = expression
        self.identity = identity

    def place(self, state: HeadState) -> tuple[Tensor, Tensor]:
        """Shapes turned, and turned and moved, [B, N, 3] each."""
        shape = state.base + torch.einsum("nde,be->bnd", self.expression, state.expression)
        turned = shape @ rotation_matrix(state.turn).transpose(1, 2)
        return turned, turned + state.shift[:, None]

    def slopes(self, by_point: Tensor, turned: Tensor, state: HeadState) -> Tensor:
        """Derivatives [B, N, R, 6 + E (+ K)] by the motion (and identity) of R quantities whose derivatives by the
        points' places are `by_point` [B, N, R, 3]."""
        by_shape = by_point @ rotation_matrix(state.turn)[:, None]
        spin = -_skew(turned) @ _left_jacobian(state.turn)[:, None]
        columns = [by_point @ spin, by_point, _through(by_shape, self.expression)]
        if self.identity is not None:
            columns.append(_through(by_shape, self.identity))
        return torch.cat(columns, -1)


def pixel_slopes(points: Tensor, focal: Tensor | float) -> Tensor:
    """Derivatives [B, N, 2, 3] of pixels by the places of points [B, N, 3] before a camera."""
    depth = points[..., 2]
    by_point = points.new_zeros(*points.shape[:-1], 2, 3)
    by_point[..., 0, 0] = by_point[..., 1, 1] = focal / depth
    by_point[..., 2] = -(focal / depth**2)[..., None] * points[..., :2]
    return by_point


class LandmarkProblem:
    """The model's tracked points and their places in the picture, as tensors."""

    def __init__(self, model: LinearFaceModel, track: Track, device: str) -> None:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self.model = model
        self.size = track.size
        self.centre = (track.size[0] / 2, track.size[1] / 2)
        self.places = tensor(track.landmarks[:, model.tracked, :2]) - tensor(np.array(self.centre))
        self.seen = tensor(track.confidence) > 0
        self.mean = tensor(model.mean[model.landmarks])
        self.identity = tensor(model.identity[model.landmarks])
        self.expression = tensor(model.expression[model.landmarks])

    def residuals(self, state: HeadState, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """How far the points are from their places, pixels [B, N, 2]; shapes turned, and moved, [B, N, 3]."""
        turned, points = MovingPoints(self.expression).place(state)
        return state.focal * points[..., :2] / points[..., 2:] - self.places[rows], turned, points

    def equations(self, state: HeadState, rows: Rows, *, with_globals: bool = False) -> tuple[Tensor, Tensor]:
        """Normal equations of the frames in `rows`: matrices [B, P, P] and right sides [B, P], priors left out.

        P is 6 + E; the clip's unknowns, K identities and the logarithm of the focal length, come after them if asked.
        The head's distance grows with the focal length, so that the picture hardly changes: the two are separated by
        their difference only, and steps along both at once would overshoot.
        """
        residual, turned, points = self.residuals(state, rows)
        depth = points[..., 2]
        moving = MovingPoints(self.expression, self.identity if with_globals else None)
        slopes = moving.slopes(pixel_slopes(points, state.focal), turned, state)
        if with_globals:
            by_depth = -state.focal * points[..., :2] / depth[..., None] ** 2
            by_focal = -by_depth * depth[..., None] + by_depth * state.shift[:, None, 2:]
            slopes = torch.cat([slopes, by_focal[..., None]], -1)
        deviation = self.model.noise * state.focal / depth.mean(1, keepdim=True)
        off = residual.norm(dim=-1) / deviation
        weight = (OUTLIER / off.clamp(min=OUTLIER)) / (deviation**2 * CORRELATED)
        return normal_equations(slopes.flatten(1, 2), residual.flatten(1), weight.repeat_interleave(2, 1))


def normal_equations(slopes: Tensor, residual: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices [B, P, P] and right sides [B, P] of slopes [B, R, P], residuals and weights [B, R]."""
    weighted = (slopes * weight[..., None]).transpose(1, 2)
    return weighted @ slopes, -(weighted @ residual[..., None])[..., 0]


def fit_landmarks(
    model: LinearFaceModel, track: Track, *, device: str = "cpu"
) -> tuple[HeadFit, LandmarkProblem, HeadState]:
    """Fit `model` to all frames of `track` at once; frames of confidence 0 are bridged. Also what it was solved from.

    Raises FaceError when fewer than two frames show the face, or it is turned so far that nothing fits.
    """
    problem = LandmarkProblem(model, track, device)
    seen = torch.nonzero(problem.seen)[:, 0]
    if len(seen) < 2:
        raise FaceError("the face is seen in fewer than two frames; use a video that shows one face throughout")
    state = _first_state(problem)
    picked = seen[torch.linspace(0, len(seen) - 1, min(GLOBAL_FRAMES, len(seen)), device=seen.device).round().long()]
    identity, state = _fit_globals(problem, state, picked)
    state = _fit_motion(problem, state)
    neutral = model.mean + model.identity @ identity
    if is_dense(model):  # every vertex is seen: keep what makes this person
        closure = torch.from_numpy(eye_closure(track.landmarks)[:, 0]).to(seen.device)[seen]
        awake = seen[closure <= max(OPEN_EYES, float(closure.median()))]
        neutral = close_mouth(model, neutral + _detail(problem, state, awake))
        state.base = torch.from_numpy(neutral[model.landmarks]).to(state.base)
        state = _fit_motion(problem, state)
    return to_head_fit(problem, state, identity, neutral), problem, state


def is_dense(model: LinearFaceModel) -> bool:
    """Whether every vertex of the model is a tracked point."""
    return len(model.landmarks) == NUM_POINTS == len(model.mean)


def to_head_fit(problem: LandmarkProblem, state: HeadState, identity: np.ndarray, neutral: np.ndarray) -> HeadFit:
    """The state as the arrays that users get. Raises FaceError if it makes no sense."""
    rotation = rotation_matrix(state.turn.double()).cpu().numpy()
    expression, shift = state.expression.cpu().numpy(), state.shift.double().cpu().numpy()
    if not all(np.isfinite(values).all() for values in (rotation, expression, shift)) or shift[:, 2].min() <= 0:
        raise FaceError("no head pose fits the tracked face; use a video that shows it from the front")
    return HeadFit(
        camera=Camera(state.focal, problem.centre, problem.size),
        identity=identity.astype(np.float32),
        neutral=neutral.astype(np.float32),
        expression=expression.astype(np.float32),
        rotation=rotation,
        translation=shift,
    )


def _first_state(problem: LandmarkProblem) -> HeadState:
    """Poses of the mean face by weak perspective, at the focal length thought likely; unseen frames lie between."""
    shape, places = problem.mean, problem.places
    focal = FOCAL_PRIOR * max(problem.size)
    centred = shape - shape.mean(0)
    offset = places.mean(1, keepdim=True)
    affine = (torch.linalg.pinv(centred) @ (places - offset)).transpose(1, 2)  # [T, 2, 3]
    u, stretch, v = torch.linalg.svd(affine, full_matrices=False)
    two = u @ v
    third = torch.linalg.cross(two[:, 0], two[:, 1])
    rotation = torch.cat([two, third[:, None]], 1)
    depth = focal / stretch.mean(1)
    shift = torch.cat([offset[:, 0] * depth[:, None] / focal, depth[:, None]], 1)
    shift = shift - (rotation @ shape.mean(0)[:, None])[..., 0]
    turn = rotation_vector(rotation)
    at = torch.nonzero(problem.seen)[:, 0].cpu().numpy()
    motion = torch.cat([turn, shift], 1).cpu().numpy()
    bridged = np.stack([np.interp(np.arange(len(motion)), at, column[at]) for column in motion.T], 1)
    values = torch.tensor(bridged, dtype=shape.dtype, device=shape.device)
    none = values.new_zeros(len(values), problem.expression.shape[-1])
    return HeadState(turn=values[:, :3], shift=values[:, 3:], expression=none, base=shape, focal=focal)


def _fit_globals(problem: LandmarkProblem, state: HeadState, picked: Tensor) -> tuple[np.ndarray, HeadState]:
    """Identity [K] from the `picked` frames, and the state with its focal length and resting points renewed."""
    num_local = 6 + problem.expression.shape[-1]
    identity = state.base.new_zeros(problem.identity.shape[-1])
    part = state.at(picked)
    longest = max(problem.size)
    repeats = max(1.0, len(picked) / INDEPENDENT)
    for _ in range(GLOBAL_STEPS):
        matrix, side = problem.equations(part, picked, with_globals=True)
        _add_expression_prior(matrix, side, part.expression)
        local, across, own = (
            matrix[:, :num_local, :num_local],
            matrix[:, :num_local, num_local:],
            matrix[:, num_local:, num_local:].sum(0),
        )
        solved = torch.linalg.solve(local, torch.cat([across, side[:, :num_local, None]], -1))
        own = own - (across.transpose(1, 2) @ solved[..., :-1]).sum(0)
        right = side[:, num_local:].sum(0) - (across.transpose(1, 2) @ solved[..., -1:])[..., 0].sum(0)
        prior = torch.full_like(right, repeats)
        prior[-1] /= FOCAL_SPREAD**2
        strayed = torch.cat([identity, right.new_tensor([np.log(part.focal / (FOCAL_PRIOR * longest))])])
        change = torch.linalg.solve(own + torch.diag(prior), right - prior * strayed)
        low, high = (float(np.log(share * longest / part.focal)) for share in FOCAL_RANGE)
        change[-1] = change[-1].clamp(max(low, -MOST_CHANGE), min(high, MOST_CHANGE))
        part = part.moved(solved[..., -1] - (solved[..., :-1] @ change[:, None])[..., 0])
        part = _refocused(part, part.focal * float(torch.exp(change[-1])))
        identity = identity + change[:-1]
        part.base = problem.mean + problem.identity @ identity
    return identity.cpu().numpy(), replace(_refocused(state, part.focal), base=part.base)


def _refocused(state: HeadState, focal: float) -> HeadState:
    """The same pictures through another lens: a longer one stands farther away."""
    return replace(state, shift=state.shift * state.shift.new_tensor([1.0, 1.0, focal / state.focal]), focal=focal)


def _fit_motion(problem: LandmarkProblem, state: HeadState) -> HeadState:
    """Pose and expression of all frames together, the clip's unknowns held."""
    for _ in range(FRAME_STEPS):
        state = smooth_step(problem, state)
    return state


def smooth_step(problem: LandmarkProblem, state: HeadState, evidence: tuple[Tensor, Tensor] | None = None) -> HeadState:
    """One Gauss-Newton step of all frames together, on the landmarks and on further `evidence`: matrices [T, P, P] and
    right sides [T, P]."""
    num_frames, num_local = state.motion.shape
    matrices, sides = [], []
    for start in range(0, num_frames, BATCH):
        rows = slice(start, start + BATCH)
        matrix, side = problem.equations(state.at(rows), rows)
        seen = problem.seen[rows].to(matrix)
        matrices.append(matrix * seen[:, None, None])
        sides.append(side * seen[:, None])
    matrix, side = torch.cat(matrices), torch.cat(sides)
    if evidence is not None:
        matrix, side = matrix + evidence[0].to(matrix), side + evidence[1].to(side)
    _add_expression_prior(matrix, side, state.expression)
    steps = np.array([*_POSE_STEP, *[_EXPRESSION_STEP] * (num_local - 6)])
    jolts = np.array([*_POSE_JOLT, *[_EXPRESSION_JOLT] * (num_local - 6)])
    distance = float(state.shift[:, 2].abs().mean())
    steps[5], jolts[5] = steps[5] * distance, jolts[5] * distance
    change = solve_smooth(
        matrix.double().cpu().numpy(),
        side.double().cpu().numpy(),
        state.motion.double().cpu().numpy(),
        steps,
        jolts,
    )
    return state.moved(torch.from_numpy(change).to(state.turn))


def _add_expression_prior(matrix: Tensor, side: Tensor, expression: Tensor) -> None:
    """Coefficients have standard deviation one: add that, in place."""
    columns = range(6, 6 + expression.shape[1])
    matrix[:, columns, columns] += 1
    side[:, columns] -= expression


def solve_smooth(
    matrices: np.ndarray, sides: np.ndarray, values: np.ndarray, steps: np.ndarray, jolts: np.ndarray
) -> np.ndarray:
    """The change [T, P] of `values` [T, P] that solves each frame's equations while it keeps motion even.

    `matrices` [T, P, P] and `sides` [T, P] are normal equations; first and second differences in time of the changed
    values have expected sizes `steps` and `jolts` [P].
    """
    num_frames, size = values.shape
    bands = np.zeros((2 * size + 1, num_frames, size))  # upper band k of column j: entry (j - k, j)
    for k in range(size):
        bands[2 * size - k, :, k:] = np.diagonal(matrices, k, 1, 2)
    side = sides.astype(np.float64).copy()
    for order, expected in ((1, steps), (2, jolts)):
        if num_frames <= order:
            continue
        stencil = np.array([-1.0, 1.0] if order == 1 else [1.0, -2.0, 1.0])
        weight = 1 / expected**2
        count = num_frames - order
        uneven = np.diff(values, order, axis=0)
        for i, a in enumerate(stencil):
            side[i : i + count] -= a * weight * uneven
            for j in range(i, order + 1):
                bands[2 * size - (j - i) * size, j : j + count] += a * stencil[j] * weight
    flat = bands.reshape(2 * size + 1, num_frames * size)
    flat[-1] *= 1 + 1e-9
    return solveh_banded(flat, side.ravel(), overwrite_ab=True, check_finite=False).reshape(num_frames, size)


def _detail(problem: LandmarkProblem, state: HeadState, seen: Tensor) -> np.ndarray:
    """What the model leaves of this person [V, 3]: the mean residual of the frames, brought back to the model."""
    total = torch.zeros_like(state.base)
    for rows in seen.split(BATCH):
        part = state.at(rows)
        residual, _, points = problem.residuals(part, rows)
        aside = -residual * points[..., 2:] / state.focal
        total += (torch.nn.functional.pad(aside, (0, 1)) @ rotation_matrix(part.turn)).sum(0)
    return (total / len(seen)).cpu().numpy()


def _through(slopes: Tensor, basis: Tensor) -> Tensor:
    """Derivatives [B, N, R, C] by the coefficients of a basis [N, 3, C], of those [B, N, R, 3] by the points."""
    by_vertex = slopes.transpose(0, 1).flatten(1, 2)
    return torch.bmm(by_vertex, basis).unflatten(1, slopes.shape[::2][:2]).transpose(0, 1)


def _skew(vectors: Tensor) -> Tensor:
    """Matrices [..., 3, 3] of the cross products with vectors [..., 3]."""
    x, y, z = vectors.unbind(-1)
    none = torch.zeros_like(x)
    return torch.stack([none, -z, y, z, none, -x, -y, x, none], -1).unflatten(-1, (3, 3))


def _left_jacobian(turn: Tensor) -> Tensor:
    """How the rotation [B, 3, 3] follows its vector [B, 3]: exp(v + d) = exp(J d) exp(v) for small d."""
    angle = turn.norm(dim=-1)[:, None, None].clamp(min=1e-6)
    skew = _skew(turn)
    first, second = (1 - torch.cos(angle)) / angle**2, (angle - torch.sin(angle)) / angle**3
    return torch.eye(3, dtype=turn.dtype, device=turn.device) + first * skew + second * (skew @ skew)
