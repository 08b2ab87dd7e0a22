from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces import mesh_points, open_mouth
from talkingface.photo.window import (
    FACE_IN_CROP,
    cut,
    face_square,
    mouth_corner,
    openings,
    stillness,
    window_at,
    window_side,
)

PICTURE = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)


@given(st.integers(-60, 80), st.integers(-60, 80), st.integers(1, 70), st.integers(1, 70))
def test_cutting_repeats_the_edge_wherever_the_box_lies(x0, y0, width, height):
    part = cut(PICTURE, (x0, y0, x0 + width, y0 + height))
    rows, columns = np.clip(np.arange(y0, y0 + height), 0, 29), np.clip(np.arange(x0, x0 + width), 0, 39)
    assert np.array_equal(part, PICTURE[rows][:, columns])


def test_masks_are_cut_like_pictures():
    part = cut(PICTURE[..., 0], (-5, -5, 10, 10))
    assert part.shape == (15, 15) and part[0, 0] == PICTURE[0, 0, 0]


def test_the_window_is_centred_and_keeps_its_side():
    points = mesh_points()
    side = window_side(points)
    assert side == round(FACE_IN_CROP * face_square(points)[1])
    near, far = (window_at(points + (shift, 0, 0), side, 256) for shift in (0, 300))
    assert near.side == far.side == side and far.x - near.x == 300
    inside = near.to_crop(points)
    assert inside.min() > 0 and inside.max() < 256
    assert inside == pytest.approx(far.to_crop(points + (300, 0, 0)), abs=1e-3)
    x0, y0, x1, y1 = near.box()
    assert x1 - x0 == y1 - y0 == side


def test_a_tiny_face_still_has_a_window():
    assert window_side(mesh_points(1.0)) == 16


def test_openings_show_open_mouth_and_eyes():
    points = mesh_points(90, (128, 110))
    closed, eyes = openings(points, (256, 256))
    wide, _ = openings(open_mouth(points, 0.35), (256, 256))
    assert wide.astype(int).sum() > 3 * closed.astype(int).sum()
    x, y = (points[[159, 145], :2].mean(0)).astype(int)
    assert eyes[y, x] == 255 and eyes[:20].max() == 0
    x, y = open_mouth(points, 0.35)[[13, 14], :2].mean(0).astype(int)
    assert wide[y, x] == 255


@given(st.floats(-400, 700), st.floats(-400, 700))
def test_the_mouth_patch_stays_inside_the_crop(x, y):
    left, top = mouth_corner(mesh_points(50, (x, y)), 256, (96, 80))
    assert 0 <= left <= 256 - 96 and 0 <= top <= 256 - 80


def test_the_mouth_patch_is_around_the_mouth():
    points = mesh_points(90, (128, 110))
    left, top = mouth_corner(points, 256, (96, 80))
    assert points[[13, 14], :2].mean(0) == pytest.approx([left + 48, top + 40], abs=3)


def test_stillness_is_one_at_rest_and_falls_with_the_distance_seen_by_the_painter():
    points = mesh_points()
    window = window_at(points, window_side(points), 256)
    steps = [stillness(points, points + np.float32([0, shift, 0]), window) for shift in (0, 1, 2, 4, 60)]
    assert steps[0] == 1 and np.all(np.diff(steps) < 0) and steps[-1] < 1e-3
    talking = stillness(points, open_mouth(points, 0.3), window)
    assert talking > 0.95, "a mouth that opens moves no head"
    larger = window_at(2 * points, window_side(2 * points), 256)
    assert stillness(2 * points, 2 * points + np.float32([0, 4, 0]), larger) == pytest.approx(steps[2], abs=0.02)
