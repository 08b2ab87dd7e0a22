"""The composite: what is moved, what stays, and what is left dark."""

from __future__ import annotations

import numpy as np
import pytest

from faces import sample_picture, sample_points
from talkingface.face.morphable import fit_photo, load_mesh478
from talkingface.face.pose import Pose
from talkingface.face.raster import to_rgba
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER
from talkingface.systems.headpose.compositing.composite import (
    Compositor,
    blend_view,
    deform,
    surrounding_points,
)

MODEL = load_mesh478()
PICTURE, POINTS = sample_picture(), sample_points()
FIT = fit_photo(MODEL, POINTS)
POSE = Pose(rotation=FIT.rotation[0], scale=float(FIT.scale[0]), translation=FIT.translation[0])


def _opened(amount: float) -> np.ndarray:
    """An expression change that parts the lips."""
    basis = MODEL.expression[..., : MODEL.num_mouth]
    change = np.zeros(MODEL.expression.shape[-1], np.float32)
    away = (basis[14] - basis[13])[1]
    change[: MODEL.num_mouth] = amount * away / (away @ away)
    return change


def _draw(points: np.ndarray, target: Pose) -> np.ndarray:
    out = PICTURE.copy()
    Compositor((out.shape[1], out.shape[0])).draw(to_rgba(PICTURE), POINTS, POSE, target, points, out)
    return out


def test_poses_undo_what_they_apply_in_any_part_of_the_picture() -> None:
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(POSE.undo(POSE.apply(points)), points, atol=1e-9)
    part = POSE.moved(0.5, np.array([30.0, 12.0]))
    np.testing.assert_allclose(part.apply(points)[:, :2], (POSE.apply(points)[:, :2] - (30, 12)) * 0.5, atol=1e-9)


def test_without_a_change_the_picture_stays_but_for_the_mouth_opening() -> None:
    drawn = _draw(POINTS, POSE)
    away = np.abs(drawn.astype(int) - PICTURE).max(-1)
    hole = np.zeros(away.shape, bool)
    inner = POINTS[list(INNER_LIP_UPPER + INNER_LIP_LOWER), :2]
    low, high = inner.min(0).astype(int) - 2, inner.max(0).astype(int) + 3
    hole[low[1] : high[1], low[0] : high[0]] = True
    assert away[~hole].max() <= 3


def test_an_opened_mouth_is_dark_inside_and_moves_nothing_above_the_nose() -> None:
    reached = deform(MODEL, POINTS, POSE, _opened(0.25))
    drawn = _draw(reached, POSE)
    middle = (reached[13, :2] + reached[14, :2]) / 2
    assert drawn[int(middle[1]), int(middle[0])].max() < 20
    brow = int(POINTS[168, 1])
    assert np.abs(drawn[:brow].astype(int) - PICTURE[:brow]).mean() < 0.5


def test_a_moved_head_takes_the_ears_along_and_leaves_the_border_of_the_picture() -> None:
    target = Pose(rotation=POSE.rotation, scale=POSE.scale, translation=POSE.translation + (6.0, 0.0, 0.0))
    reached = deform(MODEL, POINTS, POSE, np.zeros(20, np.float32), target)
    np.testing.assert_allclose(reached[:, 0] - POINTS[:, 0], 6.0, atol=1e-3)
    here, there = surrounding_points(POINTS, POSE, reached, target)
    first, last = slice(0, 36), slice(-36, None)
    above = here[first, 1] < POINTS[152, 1] - 0.3 * POSE.scale
    assert ((there - here)[first][above, 0] > 5.0).all()
    np.testing.assert_allclose(there[last], here[last], atol=1e-9)
    drawn = _draw(reached, target)
    np.testing.assert_array_equal(drawn[:, 0], PICTURE[:, 0])
    x, y = POINTS[1, :2].astype(int)
    moved = np.abs(drawn[y - 4 : y + 5, x + 2 : x + 11].astype(int) - PICTURE[y - 4 : y + 5, x - 4 : x + 5]).mean()
    assert moved < 6


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_laid_colours_land_where_the_view_saw_them(factor: float) -> None:
    picture = np.zeros((80, 80, 3), np.uint8)
    colour, share = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.float32)
    colour[...] = 200
    share[10:30, 10:30] = 1
    matrix = np.array([[factor, 0, -20 * factor], [0, factor, -16 * factor]])
    blend_view(picture, colour, share, matrix)
    middle = 20 / factor
    assert picture[round(16 + middle), round(20 + middle)].min() >= 198
    ys, xs = np.nonzero(picture[..., 0] > 100)
    assert abs(xs.mean() + 0.5 - (20 + middle)) < 0.6 and abs(ys.mean() + 0.5 - (16 + middle)) < 0.6
    assert abs(np.ptp(xs) + 1 - 20 / factor) <= 2


def test_nothing_is_laid_outside_the_picture() -> None:
    picture = np.full((20, 20, 3), 7, np.uint8)
    blend_view(
        picture, np.full((8, 8, 3), 99, np.uint8), np.ones((8, 8), np.float32), np.array([[1.0, 0, -100], [0, 1, 0]])
    )
    assert (picture == 7).all()
