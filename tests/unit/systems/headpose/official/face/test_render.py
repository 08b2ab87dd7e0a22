"""The renderer's habits, each on a mesh made to show it, and the blending."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.face.deep3d import CAMERA
from talkingface.systems.headpose.official.face.render import blend, draw, filled, shifted, to_uint8

SIDE = CAMERA.size[0]


def square(depth: float, half: float = 0.4) -> np.ndarray:
    """Four corners [4, 3] before the camera."""
    return np.array([[-half, -half, depth], [half, -half, depth], [half, half, depth], [-half, half, depth]])


FRONT = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
RED, BLUE = np.array([255.0, 0, 0]), np.array([0, 0, 255.0])


def test_a_square_lies_where_the_camera_puts_it():
    drawing = draw(square(9.0), np.tile(RED, (4, 1)), FRONT)
    half = 1015 * 0.4 / 9.0
    assert drawing[..., 3].sum() == pytest.approx((2 * half) ** 2, rel=0.03)
    assert drawing[SIDE // 2, SIDE // 2].tolist() == [1, 0, 0, 1]
    assert not drawing[:, :, :3][drawing[..., 3] == 0].any()


def test_triangles_are_seen_from_behind():
    drawing = draw(square(9.0), np.tile(RED, (4, 1)), FRONT[:, ::-1])
    assert drawing[SIDE // 2, SIDE // 2, 3] == 1


def test_the_later_of_two_equally_near_triangles_is_seen():
    points = np.concatenate([square(9.0), square(9.0)])
    colours = np.concatenate([np.tile(RED, (4, 1)), np.tile(BLUE, (4, 1))])
    both = np.concatenate([FRONT, FRONT + 4])
    assert draw(points, colours, both)[SIDE // 2, SIDE // 2].tolist() == [0, 0, 1, 1]
    assert draw(points, colours, both[::-1])[SIDE // 2, SIDE // 2].tolist() == [1, 0, 0, 1]


def test_what_lies_beyond_ten_is_cut_off_within_a_triangle():
    slanted = square(9.5)
    slanted[[1, 2], 2] = 10.5
    covered = draw(slanted, np.tile(RED, (4, 1)), FRONT)[..., 3]
    everything = draw(slanted, np.tile(RED, (4, 1)), FRONT, far=None)[..., 3]
    assert 0.4 * everything.sum() < covered.sum() < 0.6 * everything.sum()
    assert covered[SIDE // 2, SIDE // 2 - 10] == 1 and covered[SIDE // 2, SIDE // 2 + 10] == 0


def test_wholly_negative_colours_are_not_drawn():
    assert draw(square(9.0), np.full((4, 3), -1.0), FRONT)[..., 3].max() == 0
    assert draw(square(9.0), np.tile([-1.0, 3, -1], (4, 1)), FRONT)[..., 3].max() == 1


def test_rounding_and_truncation():
    drawing = np.array([[[0.5, -0.2, 1.3, 1]]], np.float32)
    assert to_uint8(drawing).tolist() == [[[128, 0, 255, 255]]]
    assert to_uint8(drawing, truncate=True).tolist() == [[[127, 0, 255, 255]]]


def test_a_shift_by_whole_pixels_is_the_same_both_ways():
    colours = np.random.default_rng(0).uniform(0, 255, (4, 3))
    moved = to_uint8(draw(square(9.0), colours, FRONT, shift=(6, -4)))
    assert np.abs(moved.astype(int) - shifted(to_uint8(draw(square(9.0), colours, FRONT)), (6, -4))).max() <= 1


def test_holes_are_filled_and_shown_black():
    rgba = np.zeros((9, 9, 4), np.uint8)
    rgba[1:8, 1:8] = (200, 100, 50, 255)
    rgba[3:5, 3:6] = 0
    rgba[0, 0] = (9, 9, 9, 255)  # touches the face by a corner only: still its own object, still drawn
    background = np.full((9, 9, 3), 77, np.uint8)
    out = blend(background, rgba)
    assert out[3, 4].tolist() == [0, 0, 0] and out[8, 8].tolist() == [77, 77, 77]
    assert out[2, 2].tolist() == [200, 100, 50] and out[0, 0].tolist() == [9, 9, 9]
    assert filled(rgba[..., 3]).sum() == 50
