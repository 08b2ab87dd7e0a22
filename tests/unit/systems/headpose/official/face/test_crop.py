"""The crop without the original's rounding: exact geometry, and agreement with it within that rounding."""

from __future__ import annotations

import numpy as np
import pytest

from faces import mesh_points
from talkingface.face.deep3d import CROP_PX
from talkingface.systems.headpose.official.face.crop import (
    RESCALE,
    TEMPLATE,
    crop_picture,
    crop_shift,
    fit_crops,
    five_points,
    paste_box,
    to_crop,
)

SIZE = (320, 240)


def projected(scale: float, centre: tuple[float, float]) -> np.ndarray:
    """The template as five points [5, 2] of a frame, `centre` y down."""
    return np.array(centre) + scale * TEMPLATE[:, :2] * [1, -1]


def slope(size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture whose first two channels tell their own place."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return np.stack([x * 0.7, y, 0 * x + 60], -1).astype(np.uint8)


def test_the_template_itself_is_found_at_its_place():
    (crop,) = fit_crops(projected(60, (150.3, 110.8))[None], SIZE)
    assert crop.scale == pytest.approx(RESCALE / 60)
    assert (crop.tx, crop.size[1] - crop.ty) == pytest.approx((150.3, 110.8))
    inside = to_crop(projected(60, (150.3, 110.8)), crop)
    assert inside == pytest.approx(CROP_PX / 2 + RESCALE * TEMPLATE[:, :2] * [1, -1])


def test_pixels_come_from_where_the_points_say():
    (crop,) = fit_crops(projected(61.7, (150.3, 110.8))[None], SIZE)
    picture = crop_picture(slope(), crop).astype(float)
    place = np.array([[140.5, 100.5], [160.25, 130.75]])
    for (x, y), (u, v) in zip(place, to_crop(place, crop), strict=True):
        red, green, _ = picture[int(v), int(u)]
        u_off, v_off = (int(u) + 0.5 - u) / crop.scale, (int(v) + 0.5 - v) / crop.scale
        assert red == pytest.approx(0.7 * (x + u_off - 0.5), abs=1.2)
        assert green == pytest.approx(y + v_off - 0.5, abs=1.2)


def test_outside_the_frame_is_black():
    (crop,) = fit_crops(projected(60, (4, 110))[None], SIZE)
    picture = crop_picture(slope(), crop)
    assert picture[:, :90].max() == 0 and picture[112, 150].max() > 0


def test_the_original_agrees_within_its_rounding():
    points = projected(61.7, (150.3, 110.8))
    (exact,), (original,) = fit_crops(points[None], SIZE), fit_crops(points[None] - 0.5, SIZE, reference=True)
    assert original.scale == pytest.approx(exact.scale)
    assert to_crop(points - 0.5, original) + 0.5 == pytest.approx(to_crop(points, exact), abs=1.5)
    ours, theirs = (crop_picture(slope(), crop).astype(float) for crop in (exact, original))
    assert np.abs(ours - theirs)[20:-20, 20:-20].mean() < 2
    square, rounded = paste_box(exact), paste_box(original, points - 0.5)
    assert square.row() == pytest.approx(rounded.row(), abs=1.5)
    with pytest.raises(ValueError, match="five points"):
        paste_box(original)


def test_the_paste_box_is_what_the_crop_shows():
    (crop,) = fit_crops(projected(61.7, (150.3, 110.8))[None], SIZE)
    box = paste_box(crop)
    corners = np.array([[box.x, box.y], [box.x + box.side, box.y + box.side]])
    assert to_crop(corners, crop) == pytest.approx(np.array([[0, 0], [CROP_PX, CROP_PX]]), abs=1e-9)


def test_a_moved_face_is_shifted_by_its_movement():
    still, moved = projected(60, (150, 110)), projected(60, (156, 107))
    first, own = fit_crops(np.stack([still, moved]), SIZE)
    assert crop_shift(moved, own, first) == pytest.approx(np.array([6, -3]) * first.scale)
    assert crop_shift(still, first, first) == pytest.approx(0)


def test_five_points_of_the_mesh():
    mesh = mesh_points(50, (128, 120))
    points = five_points(np.stack([mesh, mesh + 10]))
    assert points.shape == (2, 5, 2)
    left, right, nose, left_corner, right_corner = points[0]
    assert left[0] < nose[0] < right[0] and left_corner[0] < nose[0] < right_corner[0]
    assert left[1] < nose[1] < left_corner[1]
    original = five_points(mesh, reference=True)
    assert (original == np.rint(original)).all() and original[2, 1] > nose[1]
