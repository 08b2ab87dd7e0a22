"""Mouth pictures stay upright and of one size; shapes lose the head's pose; both lie on the 25 fps clock."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from faces import drawn_picture, mesh_points, open_mouth
from talkingface.face.mouth_view import SHAPE_POINTS, VIEW_HW, mouth_crop, mouth_shape, mouth_view, without_contrast


def moved(points: np.ndarray, angle_deg: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Points turned and enlarged in the picture plane about (128, 128), and the matrix [2, 3] that does it."""
    matrix = cv2.getRotationMatrix2D((128, 128), angle_deg, scale)
    flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([flat, scale * points[:, 2:]], axis=1).astype(np.float32), matrix


@pytest.mark.parametrize(("angle_deg", "scale"), [(20.0, 1.0), (-35.0, 1.0), (10.0, 1.6), (0.0, 0.8)])
def test_a_turned_or_larger_face_gives_the_same_picture(angle_deg, scale):
    points = mesh_points(70.0)
    picture = drawn_picture()
    others, matrix = moved(points, angle_deg, scale)
    turned = cv2.warpAffine(picture, matrix, (picture.shape[1], picture.shape[0]), flags=cv2.INTER_CUBIC)
    plain, other = mouth_crop(picture, points), mouth_crop(turned, others)
    assert plain.shape == VIEW_HW and plain.dtype == np.uint8
    assert plain.std() > 4
    assert np.abs(plain.astype(float) - other).mean() < 3


def test_a_face_beyond_the_edge_is_no_error():
    points = mesh_points()
    assert mouth_crop(np.full((256, 256, 3), 90, np.uint8), points + (60, 90, 0)).shape == VIEW_HW
    assert not mouth_crop(np.full((256, 256, 3), 90, np.uint8), points + (900, 0, 0)).any()


def test_pose_and_size_are_taken_away():
    closed = mesh_points().astype(np.float64)
    frames = np.stack([open_mouth(closed, amount) for amount in (0.0, 0.1, 0.2, 0.1)])
    turn = Rotation.from_euler("yxz", [[0, 0, 0], [12, 3, 5], [-8, 2, -4], [3, -6, 9]], degrees=True).as_matrix()
    posed = 1.7 * frames @ np.swapaxes(turn, 1, 2) + np.arange(4)[:, None, None] * (30.0, -10.0, 4.0)
    still, found = mouth_shape(frames), mouth_shape(posed)
    assert still.shape == (4, len(SHAPE_POINTS), 3)
    np.testing.assert_allclose(found - found[:1], still - still[:1], atol=0.02)
    top, bottom = SHAPE_POINTS.index(13), SHAPE_POINTS.index(14)
    gaps = still[:, bottom, 1] - still[:, top, 1]
    assert gaps[2] > gaps[1] > gaps[0]


def test_frames_come_to_the_25_fps_clock():
    points = np.stack([open_mouth(mesh_points(), 0.01 * k) for k in range(20)])
    crops = np.stack([np.full(VIEW_HW, 10 * k, np.uint8) for k in range(20)])
    double = mouth_view(crops, points, np.arange(20) / 50)
    assert len(double) == 10
    assert double.crops[:, 0, 0].tolist() == list(range(0, 200, 20))
    odd = mouth_view(crops, points, np.arange(20) / 30, np.arange(20) != 6)
    assert len(odd) == 16
    np.testing.assert_allclose(odd.crops[:, 0, 0], 12 * np.arange(16), atol=1)
    assert odd.seen.tolist() == [k != 5 for k in range(16)], "time 0.2 s is frame 6 itself"
    np.testing.assert_array_equal(mouth_view(crops, points, np.arange(20) / 25).crops, crops)


def test_one_photo_and_wrong_lengths():
    points, crop = mesh_points()[None], np.zeros((1, *VIEW_HW), np.uint8)
    assert len(mouth_view(crop, points, np.zeros(1))) == 1
    with pytest.raises(ValueError, match="differ"):
        mouth_view(crop, points, np.zeros(2))


def test_contrast_and_brightness_are_taken_away():
    crops = np.random.default_rng(0).integers(60, 120, (5, *VIEW_HW)).astype(np.uint8)
    values = without_contrast(crops)
    assert abs(values.mean()) < 1e-3
    np.testing.assert_allclose(values, without_contrast(crops + 40), atol=1e-3)
    assert not without_contrast(np.full((2, *VIEW_HW), 7, np.uint8)).any()
