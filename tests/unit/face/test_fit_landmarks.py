"""Bundle adjustment: derivatives, the smooth solver, and heads whose motion and lens are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from talkingface.core.errors import FaceError
from talkingface.core.types import Track
from talkingface.face.camera import Camera
from talkingface.face.fit_landmarks import (
    HeadState,
    LandmarkProblem,
    MovingPoints,
    fit_landmarks,
    pixel_slopes,
    solve_smooth,
)
from talkingface.face.morphable import close_mouth, load_mesh478
from talkingface.face.topology import FACE_68

MODEL = load_mesh478()
SPARSE = replace(MODEL, landmarks=np.array(FACE_68), tracked=np.array(FACE_68))
"""The same model known at 68 of its vertices only, as the Basel model is."""


def known_head(
    num_frames: int = 60, focal_px: float = 1400.0, distance: float = 9.0, seed: int = 0
) -> dict[str, np.ndarray]:
    """A head that nods, turns, sways and speaks before a camera of 640 x 480."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, num_frames)
    angles = np.stack([0.15 * np.sin(time), 0.35 * np.sin(0.7 * time + 1), 0.1 * np.cos(time)], 1)
    shift = np.stack([0.2 * np.sin(time), 0.1 * np.cos(2 * time), distance * (1 + np.sin(time) / 9)], 1)
    expression = np.zeros((num_frames, MODEL.expression.shape[-1]), np.float32)
    expression[:, :4] = rng.normal(size=4) * np.sin(np.outer(2 * time, rng.uniform(1, 2, 4)))
    identity = (0.6 * rng.normal(size=MODEL.identity.shape[-1])).astype(np.float32)
    rotation = Rotation.from_rotvec(angles).as_matrix()
    neutral = close_mouth(MODEL, MODEL.mean + MODEL.identity @ identity)
    points = (neutral + MODEL.displacement(expression)) @ rotation.swapaxes(1, 2) + shift[:, None]
    pixels, _ = Camera(focal_px, (320.0, 240.0), (640, 480)).project(points)
    return {"rotation": rotation, "shift": shift, "expression": expression, "points": points, "pixels": pixels}


def tracked(head: dict[str, np.ndarray], noise_px: float = 0.0) -> Track:
    noise = noise_px * np.random.default_rng(1).normal(size=head["pixels"].shape)
    landmarks = np.concatenate([head["pixels"] + noise, 100 * head["points"][..., 2:]], -1)
    count = len(landmarks)
    return Track(
        landmarks=landmarks.astype(np.float32),
        times_s=np.arange(count) / 25,
        confidence=np.ones(count, np.float32),
        size=(640, 480),
    )


def degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(Rotation.from_matrix(a.swapaxes(1, 2) @ b).magnitude())


@pytest.mark.parametrize("model", [MODEL, SPARSE], ids=["478 points", "68 points"])
def test_a_known_head_is_found_again(model):
    head = known_head()
    fit, _, _ = fit_landmarks(model, tracked(head, noise_px=0.3))
    dense = model is MODEL
    # what the whole head is turned by cannot be told from its shape; the turns between frames can
    turned = fit.rotation @ fit.rotation[:1].swapaxes(1, 2), head["rotation"] @ head["rotation"][:1].swapaxes(1, 2)
    assert np.median(degrees_between(*turned)) < 1.0
    assert np.median(degrees_between(fit.rotation, head["rotation"])) < (2.0 if dense else 4.0)
    shape = fit.neutral + MODEL.displacement(fit.expression)
    points = shape @ fit.rotation.swapaxes(1, 2) + fit.translation[:, None]
    pixels, _ = fit.camera.project(points)
    error = np.linalg.norm(pixels - head["pixels"], axis=-1)[:, model.landmarks]
    assert error.mean() < (0.8 if dense else 1.5)
    depth = fit.translation[:, 2] / fit.camera.focal_px
    assert depth == pytest.approx(head["shift"][:, 2] / 1400, rel=0.03)


@pytest.mark.parametrize("focal_px", [700.0, 1400.0, 3500.0])
def test_the_lens_is_found(focal_px):
    head = known_head(120, focal_px)
    fit, _, _ = fit_landmarks(MODEL, tracked(head))
    assert np.log(fit.camera.focal_px / focal_px) == pytest.approx(0, abs=0.35)


def test_parallel_light_is_a_very_long_lens():
    """Pictures without any perspective must not lead the lens and the distance astray."""
    head = known_head(40, 60_000.0, 400.0)
    fit, _, _ = fit_landmarks(MODEL, tracked(head, noise_px=0.3))
    assert fit.camera.focal_px > 2000 and fit.translation[:, 2].min() > 10
    assert np.median(degrees_between(fit.rotation, head["rotation"])) < 2.0
    shape = fit.neutral + MODEL.displacement(fit.expression)
    pixels, _ = fit.camera.project(shape @ fit.rotation.swapaxes(1, 2) + fit.translation[:, None])
    assert np.linalg.norm(pixels - head["pixels"], axis=-1).mean() < 0.8


def test_frames_without_a_face_are_bridged():
    head = known_head(80)
    track = tracked(head)
    confidence = track.confidence.copy()
    confidence[30:38] = 0
    confidence[:3] = 0
    landmarks = track.landmarks.copy()
    landmarks[confidence == 0] = 7.0  # whatever stands there must not count
    fit, _, _ = fit_landmarks(MODEL, replace(track, landmarks=landmarks, confidence=confidence))
    assert degrees_between(fit.rotation, head["rotation"])[30:38].max() < 4
    assert np.abs(np.diff(fit.translation, axis=0)).max() < 0.3


def test_too_little_to_see_is_an_error():
    track = tracked(known_head(10))
    with pytest.raises(FaceError, match="fewer than two frames"):
        fit_landmarks(MODEL, replace(track, confidence=np.eye(10, dtype=np.float32)[3]))


def test_derivatives_are_those_of_autograd():
    rng = np.random.default_rng(2)
    basis = torch.from_numpy(rng.normal(size=(5, 3, 4)))
    base = torch.from_numpy(rng.normal(size=(5, 3)))

    def state(motion: torch.Tensor) -> HeadState:
        return HeadState(motion[:, :3], motion[:, 3:6], motion[:, 6:], base, 300.0)

    def pixels(motion: torch.Tensor) -> torch.Tensor:
        _, points = MovingPoints(basis).place(state(motion))
        return 300.0 * points[..., :2] / points[..., 2:]

    motion = torch.from_numpy(0.3 * rng.normal(size=(1, 10)))
    motion[:, 5] += 9
    turned, points = MovingPoints(basis).place(state(motion))
    slopes = MovingPoints(basis).slopes(pixel_slopes(points, 300.0), turned, state(motion))
    expected = torch.autograd.functional.jacobian(pixels, motion)[0, :, :, 0]
    torch.testing.assert_close(slopes[0], expected, rtol=1e-6, atol=1e-6)


def test_equations_are_zero_where_the_points_are_met():
    head = known_head(4)
    problem = LandmarkProblem(MODEL, tracked(head), "cpu")
    turn = torch.from_numpy(Rotation.from_matrix(head["rotation"]).as_rotvec()).float()
    shape = torch.from_numpy(head["points"] - head["shift"][:, None]) @ torch.from_numpy(head["rotation"])
    base = (shape[0] - torch.from_numpy(MODEL.displacement(head["expression"][0]))).float()
    state = HeadState(turn, torch.from_numpy(head["shift"]).float(), torch.from_numpy(head["expression"]), base, 1400.0)
    residual, _, _ = problem.residuals(state, slice(0, 4))
    assert residual.abs().max() < 0.01


def test_the_smooth_solver_agrees_with_dense_algebra():
    rng = np.random.default_rng(3)
    count, size = 7, 3
    matrices = np.stack([a @ a.T + np.eye(size) for a in rng.normal(size=(count, size, size))])
    sides, values = rng.normal(size=(count, size)), rng.normal(size=(count, size))
    steps, jolts = rng.uniform(0.5, 2, size), rng.uniform(0.5, 2, size)
    dense, right = np.zeros((count * size, count * size)), sides.ravel().copy()
    for t in range(count):
        dense[t * size : (t + 1) * size, t * size : (t + 1) * size] = matrices[t]
    for order, expected in ((1, steps), (2, jolts)):
        difference = np.kron(np.diff(np.eye(count), order, axis=0), np.diag(1 / expected))
        dense += difference.T @ difference
        right -= difference.T @ difference @ values.ravel()
    change = solve_smooth(matrices, sides, values, steps, jolts)
    assert change.ravel() == pytest.approx(np.linalg.solve(dense, right), rel=1e-6)


def test_one_frame_alone_needs_no_neighbours():
    change = solve_smooth(np.eye(2)[None] * 4, np.ones((1, 2)), np.zeros((1, 2)), np.ones(2), np.ones(2))
    assert change == pytest.approx(0.25)
