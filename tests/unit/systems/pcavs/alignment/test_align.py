from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkingface.systems.pcavs.alignment import align


def moving_mesh(count: int) -> np.ndarray:
    """A turned, distant face whose mouth wanders, float32 [T, 478, 3]."""
    rng = np.random.default_rng(5)
    mesh = rng.uniform(250, 350, (478, 3))
    mesh[list(align.EYE_POINTS_LEFT), :2] = 400, 300
    mesh[list(align.EYE_POINTS_RIGHT), :2] = 560, 340
    mesh[list(align.MOUTH_POINTS), :2] = 440, 500
    frames = np.repeat(mesh[None], count, axis=0)
    frames[:, list(align.MOUTH_POINTS), 1] += 10 * np.sin(np.arange(count))[:, None]
    return frames.astype(np.float32)


def test_photo_lands_on_the_template():
    points = align.three_points(moving_mesh(1))
    (matrix,) = align.alignment(points)
    placed = points[0] @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(placed[2], align.TEMPLATE[2], atol=1e-9)  # one frame: all of its shift
    assert np.abs(placed - align.TEMPLATE).max() < 12


def test_clip_keeps_scale_and_roll():
    points = align.three_points(moving_mesh(9))
    matrices = align.alignment(points)
    np.testing.assert_array_equal(matrices[:, :, :2], np.repeat(matrices[:1, :, :2], 9, axis=0))
    mouths = np.einsum("tij,tj->ti", matrices[:, :, :2], points[:, 2]) + matrices[:, :, 2]
    assert np.abs(mouths - align.TEMPLATE[2]).max() < 2


def test_unseen_frames_do_not_count():
    mesh = moving_mesh(4)
    mesh[2:] += 300
    points = align.three_points(mesh)
    seen = np.array([True, True, False, False])
    np.testing.assert_allclose(align.similarity(points, seen), align.similarity(points[:2]))
    np.testing.assert_allclose(align.similarity(points, np.zeros(4, bool)), align.similarity(points))


def test_points_in_one_place_are_refused():
    with pytest.raises(ValueError, match="no face"):
        align.similarity(np.full((3, 3, 2), 80.0))


@pytest.mark.parametrize("scale", (0.15, 0.4, 1.3))
def test_warp_goes_where_the_matrix_says(scale):
    matrix = np.array([[scale, 0.0, 20.0], [0.0, scale, 30.0]])
    x, y = round(60 / scale), round(50 / scale)
    rgb = np.zeros((round(150 / scale), round(160 / scale), 3), np.uint8)
    cv2.circle(rgb, (x, y), round(9 / scale), (255, 255, 255), -1)
    warped = align.warp(rgb, matrix)[..., 0].astype(float)
    row, column = np.mgrid[: align.SIZE_PX, : align.SIZE_PX]
    centre = np.array([(warped * column).sum(), (warped * row).sum()]) / warped.sum()
    np.testing.assert_allclose(centre, matrix[:, :2] @ (x, y) + matrix[:, 2], atol=0.05)
    (placed,) = align.to_crop(np.array([[[x + 0.5, y + 0.5]]]), matrix[None])
    np.testing.assert_allclose(placed[0], centre + 0.5, atol=0.05)


def test_borders():
    rgb = np.full((100, 100, 3), 200, np.uint8)
    matrix = np.array([[1.0, 0, -20], [0, 1, 60]])
    assert (align.warp(rgb, matrix)[:50] == 0).all()
    for border in ("replicate", "reflect"):
        assert (align.warp(rgb, matrix, border) == 200).all()
    assert abs(align.outside(matrix, (100, 100)) - (1 - 80 * 100 / 224**2)) < 0.01
