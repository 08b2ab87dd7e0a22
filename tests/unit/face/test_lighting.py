"""Normals and light: closed forms, agreement of NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.face.lighting import ambient_light, harmonics, shading, vertex_normals


def ball(num_rings: int = 24, num_steps: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A unit ball: points [V, 3] and triangles [F, 3] whose fronts are outside."""
    polar = np.linspace(0.05, np.pi - 0.05, num_rings)[:, None]
    around = np.linspace(0, 2 * np.pi, num_steps, endpoint=False)[None]
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around], -1)
    at = np.arange(num_rings * num_steps).reshape(num_rings, num_steps)
    a, b, c, d = at[:-1], at[1:], np.roll(at[:-1], -1, 1), np.roll(at[1:], -1, 1)
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (c, b, d))])
    return points.reshape(-1, 3), triangles


def test_normals_of_a_ball_point_away_from_its_centre():
    points, triangles = ball()
    inner = slice(4 * 48, -4 * 48)  # towards the poles, where the rings are cut off, triangles are slender
    assert vertex_normals(points, triangles)[inner] == pytest.approx(points[inner], abs=0.01)


def test_a_vertex_without_triangles_has_no_normal():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], float)
    normals = vertex_normals(points, np.array([[0, 1, 2]]))
    assert normals[3].tolist() == [0, 0, 0]
    assert normals[0].tolist() == [0, 0, 1]


def test_batches_and_torch_agree_with_numpy():
    points, triangles = ball(8, 12)
    batch = np.stack([points, 2 * points + 1])
    normals = vertex_normals(batch, triangles)
    assert normals[0] == pytest.approx(normals[1], abs=1e-12)
    light = np.random.default_rng(0).normal(size=(2, 3, 9))
    tensors = [torch.from_numpy(values) for values in (batch, triangles, light)]
    in_torch = vertex_normals(tensors[0], tensors[1])
    np.testing.assert_allclose(in_torch.numpy(), normals, atol=1e-12)
    np.testing.assert_allclose(shading(in_torch, tensors[2]).numpy(), shading(normals, light), atol=1e-12)


def test_ambient_light_is_the_same_from_all_sides():
    normals = np.random.default_rng(1).normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    assert shading(normals, ambient_light(0.7)) == pytest.approx(0.7)


def test_the_nine_functions_are_orthogonal_over_the_ball():
    points = np.random.default_rng(2).normal(size=(200_000, 3))
    values = harmonics(points / np.linalg.norm(points, axis=-1, keepdims=True))
    gram = values.T @ values / len(values)
    assert gram - np.diag(np.diag(gram)) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("number", "normal"), [(1, (0, 1, 0)), (2, (0, 0, -1)), (3, (-1, 0, 0))])
def test_directions_of_the_linear_functions(number, normal):
    """Light from below, from the viewer and from the picture's left, in the signs of Deep3DFaceReconstruction."""
    values = [harmonics(sign * np.array(normal, float))[number] for sign in (1, -1)]
    assert values[0] > 1 > -1 > values[1]
