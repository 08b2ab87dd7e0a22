"""Projections and rotations: closed forms, round trips, agreement of NumPy and torch, finite gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from talkingface.face.camera import (
    Camera,
    OrthographicCamera,
    euler_degrees,
    from_euler_degrees,
    rotation_matrix,
    rotation_vector,
    to_screen,
)

_vectors = st.tuples(*[st.floats(-1.8, 1.8) for _ in range(3)])


def test_project_follows_the_pinhole_formula_and_unproject_undoes_it():
    camera = Camera(500.0, (320.0, 240.0), (640, 480))
    points = np.array([[[0.2, -0.1, 2.0], [0.0, 0.0, 5.0]]])
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(pixels, [[[370.0, 215.0], [320.0, 240.0]]])
    np.testing.assert_allclose(camera.unproject(pixels, depth), points)


def test_orthographic_camera_keeps_sizes_at_any_depth():
    camera = OrthographicCamera(100.0, (50.0, 60.0), (100, 120))
    points = np.array([[1.0, 1.0, -3.0], [1.0, 1.0, 7.0]])
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(pixels, [[150.0, 160.0]] * 2)
    np.testing.assert_allclose(depth, [-300.0, 700.0])
    np.testing.assert_allclose(camera.unproject(pixels, depth), points)


@pytest.mark.parametrize("camera", [Camera(90.0, (8.0, 9.0), (16, 18)), OrthographicCamera(9.0, (8.0, 9.0), (16, 18))])
def test_torch_gives_the_same_screen_points(camera):
    points = np.random.default_rng(0).uniform(1, 2, (2, 5, 3))
    np.testing.assert_allclose(to_screen(camera, torch.from_numpy(points)).numpy(), to_screen(camera, points))
    assert to_screen(camera, points).shape == (2, 5, 3)


@settings(deadline=None, max_examples=50)
@given(_vectors)
def test_rotation_matrix_agrees_with_scipy_and_comes_back(vector):
    vector = np.array(vector)
    matrix = rotation_matrix(vector)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(rotation_vector(matrix)), matrix, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 9e-4, 1.1e-3, 1.0, 3.0, np.pi - 1e-7, np.pi])
@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, -0.64, 0.48)])
def test_rotation_vector_is_exact_from_no_turn_to_half_a_turn(angle, axis):
    vector = angle * np.array(axis, float)
    found = rotation_vector(rotation_matrix(vector))
    expected = vector if angle < np.pi else np.sign(found @ vector) * vector  # half turns have two vectors
    np.testing.assert_allclose(found, expected, atol=1e-8)


@settings(deadline=None, max_examples=50)
@given(st.tuples(st.floats(-179, 179), st.floats(-89, 89), st.floats(-179, 179)))
def test_euler_angles_round_trip(angles):
    np.testing.assert_allclose(euler_degrees(from_euler_degrees(np.array(angles))), angles, atol=1e-6)


@pytest.mark.parametrize(
    ("angles", "model", "camera"),
    [
        ((90, 0, 0), (0, 0, -1), (1, 0, 0)),  # yaw: the nose moves to the viewer's right
        ((0, 90, 0), (0, 0, -1), (0, -1, 0)),  # pitch: the nose moves up
        ((0, 0, 90), (0, -1, 0), (1, 0, 0)),  # roll: the crown tips to the viewer's right
    ],
)
def test_signs_of_the_angles(angles, model, camera):
    matrix = from_euler_degrees(np.array(angles, float))
    np.testing.assert_allclose(matrix @ np.array(model, float), camera, atol=1e-12)


def test_batches_and_torch_agree_with_numpy():
    vectors = np.random.default_rng(1).normal(size=(2, 4, 3))
    matrices = rotation_matrix(vectors)
    assert matrices.shape == (2, 4, 3, 3)
    tensor = torch.from_numpy(vectors)
    np.testing.assert_allclose(rotation_matrix(tensor).numpy(), matrices)
    np.testing.assert_allclose(rotation_vector(rotation_matrix(tensor)).numpy(), rotation_vector(matrices))
    np.testing.assert_allclose(euler_degrees(rotation_matrix(tensor)).numpy(), euler_degrees(matrices))
    np.testing.assert_allclose(from_euler_degrees(tensor).numpy(), from_euler_degrees(vectors))


@pytest.mark.parametrize("vector", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.9), (1e-5, 0.0, 0.0)])
def test_gradients_are_right_even_at_zero(vector):
    tensor = torch.tensor(vector, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_matrix, (tensor,), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradcheck(lambda v: rotation_vector(rotation_matrix(v)), (tensor,), eps=1e-7, atol=1e-5)
