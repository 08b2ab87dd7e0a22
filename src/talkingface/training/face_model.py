"""Learn `mesh478`, our linear face model, from tracked clips and still portraits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talkingface.core.types import Track
from talkingface.face.morphable import LinearFaceModel, mesh478_landmarks, quiet_shape
from talkingface.face.pose import STABLE_POINTS, fit_similarity, undo_similarity
from talkingface.face.topology import LIPS, face_triangles

NUM_MOUTH, NUM_BROW, NUM_IDENTITY = 16, 4, 40
MAX_FRAMES = 75
LIP_WEIGHT = 4.0


def learn_mesh478(tracks: Sequence[tuple[str, Track]], portraits: Sequence[np.ndarray]) -> LinearFaceModel:
    """The model from (person, track) pairs and still faces [478, 3], in model units (see `face.morphable`).

    People count equally, however many clips they have. Expression comes from movement within clips;
    identity from people's quiet shapes and the portraits, after their fitted expression is removed.
    """
    people = [person for person, _ in tracks]
    weight = np.array([1 / np.sqrt(people.count(person)) for person in people])
    mean = _start_shape(tracks[0][1])
    quiet: list[np.ndarray] = []
    moves: list[np.ndarray] = []
    for _ in range(3):  # the mean and the alignment depend on each other
        quiet, moves = [], []
        for _, track in tracks:
            points = track.landmarks[track.confidence > 0].astype(np.float64)
            points = points[:: max(1, len(points) // MAX_FRAMES)]
            neutral, upright = mean, points
            for _ in range(2):
                upright = undo_similarity(points, *_stable_pose(neutral, points))
                neutral = quiet_shape(upright)
            quiet.append(neutral)
            moves.append(upright - neutral)
        mean = _normalised(np.average(quiet, axis=0, weights=weight))
    mouth, brow = region_weights(mean)
    emphasis = np.ones(len(mean))
    emphasis[list(LIPS)] = LIP_WEIGHT
    frame_weight = np.concatenate([np.full(len(m), w / len(m)) for m, w in zip(moves, weight, strict=True)])
    every = np.concatenate(moves)
    expression = np.concatenate(
        [
            _components(every * mouth[:, None], NUM_MOUTH, frame_weight, emphasis),
            _components(every * brow[:, None], NUM_BROW, frame_weight, np.ones(len(mean))),
        ],
        axis=-1,
    )
    noise = 0.012
    stills = [_without_expression(mean, expression, points, noise) for points in portraits]
    shapes = np.stack([*quiet, *stills]) - mean
    shape_weight = np.concatenate([weight, np.ones(len(stills))])
    identity = _components(shapes, min(NUM_IDENTITY, len(shapes) - 1), shape_weight, np.ones(len(mean)))
    return LinearFaceModel(
        name="mesh478",
        mean=mean.astype(np.float32),
        identity=identity.astype(np.float32),
        expression=expression.astype(np.float32),
        num_mouth=NUM_MOUTH,
        triangles=face_triangles(),
        noise=noise,
        **mesh478_landmarks(),
    )


def region_weights(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each vertex belongs to the mouth and to the brow expression, [V] each in [0, 1]."""
    eye_line = mean[[33, 133, 263, 362], 1].mean()
    y = mean[:, 1] - eye_line
    return _smoothstep((y - 0.08) / 0.25), _smoothstep((-y - 0.05) / 0.12)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _stable_pose(shape: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return fit_similarity(shape[STABLE_POINTS], points[:, STABLE_POINTS])


def _start_shape(track: Track) -> np.ndarray:
    points = track.landmarks.astype(np.float64)
    return _normalised(undo_similarity(points, *_stable_pose(points[0], points)).mean(0))


def _normalised(shape: np.ndarray) -> np.ndarray:
    """Outer eye corners one unit apart and level, face turned to the viewer, origin at the stable centre."""
    shape = shape - shape[STABLE_POINTS].mean(0)
    right = shape[263] - shape[33]
    right /= np.linalg.norm(right)
    down = shape[[2, 164, 199]].mean(0) - shape[[9, 8, 10]].mean(0)
    forward = np.cross(right, down)
    forward /= np.linalg.norm(forward)
    down = np.cross(forward, right)
    shape = shape @ np.stack([right, down, forward], axis=1)
    return shape / np.linalg.norm(shape[263] - shape[33])


def _components(samples: np.ndarray, count: int, weight: np.ndarray, emphasis: np.ndarray) -> np.ndarray:
    """Principal directions [V, 3, count] of samples [N, V, 3], scaled to one standard deviation, about zero."""
    scaled = samples * emphasis[:, None] * np.sqrt(weight / weight.sum())[:, None, None]
    _, d, vt = np.linalg.svd(scaled.reshape(len(samples), -1), full_matrices=False)
    return (vt[:count] * d[:count, None]).T.reshape(*samples.shape[1:], count) / emphasis[:, None, None]


def _without_expression(mean: np.ndarray, expression: np.ndarray, points: np.ndarray, noise: float) -> np.ndarray:
    pose = fit_similarity(mean[STABLE_POINTS], points[STABLE_POINTS].astype(np.float64))
    shape = undo_similarity(points.astype(np.float64), *pose)
    basis = expression.reshape(mean.size, -1)
    gram = basis.T @ basis + noise**2 * np.eye(basis.shape[1])
    return shape - (basis @ np.linalg.solve(gram, basis.T @ (shape - mean).ravel())).reshape(mean.shape)
