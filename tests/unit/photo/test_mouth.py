from __future__ import annotations

import cv2
import numpy as np
import pytest

from faces import mesh_points, open_mouth
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER
from talkingface.photo.mouth import (
    SHOWN,
    OpenMouth,
    carry,
    dark_mouth,
    fitted,
    grey,
    inside,
    mouth_tensors,
    open_mouth_cost,
    own_share,
    shows_inside,
    teeth_share,
)
from talkingface.photo.mouth import open_mouth as mouth_of
from talkingface.systems.portrait.config import preset

CONFIG = preset("tiny").refiner
WIDTH, HEIGHT = CONFIG.patch_px


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return open_mouth(mesh_points(), 0.3)


@pytest.fixture(scope="module")
def mouth(points) -> OpenMouth:
    """One whose upper half is red and whose lower one is blue."""
    found = mouth_of(teeth_above_dark(points), points, CONFIG)
    found.upper[..., :3], found.lower[..., :3] = (255, 0, 0), (0, 0, 255)
    return found


def teeth_above_dark(points: np.ndarray, teeth: float = 0.5) -> np.ndarray:
    """A face of one colour whose opening is bright down to the share `teeth`, and dark below."""
    picture = np.full((256, 256, 3), 140, np.uint8)
    top, bottom = points[13, 1], points[14, 1]
    edge = round(float(top + teeth * (bottom - top)))
    picture[round(float(top)) : edge] = 220
    picture[edge : round(float(bottom))] = 30
    return picture


@pytest.mark.parametrize(("teeth", "least", "most"), [(0.3, 0.2, 0.45), (0.6, 0.5, 0.75), (1.0, 1.0, 1.0)])
def test_the_cut_lies_below_the_upper_teeth(points, teeth, least, most):
    found = mouth_of(teeth_above_dark(points, teeth), points, CONFIG)
    heights = [np.ptp(np.flatnonzero((half[..., 3] > 127)[:, WIDTH // 2])) if (half[..., 3] > 127).any() else 0
               for half in (found.upper, found.lower)]  # fmt: skip
    assert least - 0.1 <= heights[0] / sum(heights) <= most + 0.1


def centre(half: np.ndarray) -> np.ndarray:
    return np.argwhere(half[..., 3] > 127).mean(0)[::-1]


def test_the_halves_meet_in_the_middle_and_lie_within_the_lips(mouth):
    upper, lower = (half[..., 3] > 127 for half in (mouth.upper, mouth.lower))
    assert upper.any() and lower.any() and not (upper & lower).any()
    assert centre(mouth.upper)[1] < centre(mouth.lower)[1]
    top, bottom = mouth.points[13, 1], mouth.points[14, 1]
    rows = np.flatnonzero((upper | lower).any(1))
    assert top - 1 < rows[0] and rows[-1] < bottom + 1


def test_nothing_moves_with_a_face_that_rests(mouth):
    for half, still in zip(carry(mouth, mouth.points, (WIDTH, HEIGHT)), (mouth.upper, mouth.lower), strict=True):
        assert np.abs(half[..., 3].astype(int) - still[..., 3]).max() <= 2


def test_upper_teeth_keep_to_the_skull_and_lower_ones_to_the_jaw(mouth):
    lowered = mouth.points.copy()
    lowered[[152, 148, 176, 377, 400, 175, 199], 1] += 6
    upper, lower = carry(mouth, lowered, (WIDTH, HEIGHT))
    assert np.abs(centre(upper) - centre(mouth.upper)).max() < 0.3
    assert centre(lower) - centre(mouth.lower) == pytest.approx([0, 6], abs=0.5)


def test_both_follow_the_head(mouth):
    moved = mouth.points + np.float32([5, -3, 0])
    for half, still in zip(carry(mouth, moved, (WIDTH, HEIGHT)), (mouth.upper, mouth.lower), strict=True):
        assert centre(half) - centre(still) == pytest.approx([5, -3], abs=0.3)


def test_what_no_half_covers_is_dark_and_the_upper_one_is_in_front(mouth):
    dark = np.array([30.0, 10.0, 10.0])
    colours = inside(mouth.upper, mouth.lower, np.ones(3), dark)
    assert np.allclose(colours[0, 0], dark)
    x, y = centre(mouth.upper).astype(int)
    assert np.allclose(colours[y, x], (255, 0, 0), atol=2)
    both = inside(mouth.upper, np.dstack([mouth.lower[..., :3], mouth.upper[..., 3]]), np.ones(3), dark)
    assert np.allclose(both[y, x], (255, 0, 0), atol=2)
    lit = inside(mouth.upper, mouth.lower, np.array([0.5, 1, 1]), dark)
    assert lit[y, x, 0] == pytest.approx(127.5, abs=2)


def test_a_picture_without_colours_gets_a_mouth_without(mouth):
    made = grey(mouth)
    for half, before in ((made.upper, mouth.upper), (made.lower, mouth.lower)):
        assert (half[..., 0] == half[..., 1]).all() and (half[..., 1] == half[..., 2]).all()
        assert np.array_equal(half[..., 3], before[..., 3])


def test_the_best_open_mouth_is_neither_closed_nor_stretched():
    faces = np.stack([open_mouth(mesh_points(), gap) for gap in (0.0, 0.05, 0.16, 0.6)])
    costs = open_mouth_cost(faces)
    assert costs.shape == (4,) and costs[0] > max(costs[1:])
    assert not shows_inside(faces[0])
    assert shows_inside(faces[int(np.argmin(costs))])


def test_another_persons_teeth_hang_behind_resting_lips(mouth):
    """Whatever the face, upper teeth end a little below the upper lip and what lies below them at the lower lip."""
    for unit, place in ((50.0, (128.0, 120.0)), (40.0, (110.0, 130.0))):
        face = mesh_points(unit, place)
        face[:, 1] *= 1.1  # held at another height than the mean face's
        made = fitted(mouth, face, CONFIG)
        width = float(np.linalg.norm(made.points[308, :2] - made.points[78, :2]))
        rows = [np.flatnonzero((half[..., 3] > 127)[:, int(made.points[13, 0])]) for half in (made.upper, made.lower)]
        assert rows[0][-1] - made.points[13, 1] == pytest.approx(SHOWN * width, abs=2)
        assert rows[1][-1] - made.points[14, 1] == pytest.approx(0, abs=2)
        columns = np.flatnonzero((made.upper[..., 3] > 127).any(0))
        own = np.flatnonzero((mouth.upper[..., 3] > 127).any(0))
        before = float(np.linalg.norm(mouth.points[308, :2] - mouth.points[78, :2]))
        assert np.ptp(columns) / width == pytest.approx(np.ptp(own) / before, rel=0.1)


def test_teeth_are_told_from_a_tongue(points):
    skin = np.uint8([180, 130, 110])
    pictures = [np.broadcast_to(skin, (256, 256, 3)).copy() for _ in range(3)]
    ring = points[[*INNER_LIP_UPPER, *INNER_LIP_LOWER[::-1]], :2].round().astype(np.int32)
    for picture, colour in zip(pictures, ((200, 195, 185), (190, 90, 95), (40, 20, 20)), strict=True):
        cv2.fillPoly(picture, [ring], colour)
    teeth, tongue, dark = (teeth_share(mouth_of(picture, points, CONFIG)) for picture in pictures)
    assert teeth > 0.9 and tongue < 0.1 and dark < 0.1
    chosen = mouth_tensors([(picture, points) for picture in pictures[::-1]], CONFIG)
    assert np.array_equal(chosen["mouth.upper"], mouth_of(pictures[0], points, CONFIG).upper)
    assert mouth_tensors([(pictures[0], mesh_points())], CONFIG) == {}


def test_a_mouth_that_opens_as_in_the_picture_keeps_its_own_inside():
    closed, open_, wide = (open_mouth(mesh_points(), gap) for gap in (0.0, 0.15, 0.4))
    assert own_share(open_, open_) == 1 and own_share(closed, closed) == 0
    assert own_share(open_, wide) == own_share(open_, closed) == own_share(closed, open_) == 0
    near = [own_share(open_, open_mouth(mesh_points(), 0.15 * part)) for part in (1.0, 0.7, 0.6, 0.4)]
    assert near == sorted(near, reverse=True) and 0 < near[2] < 1


def test_the_dark_of_a_mouth_is_that_of_its_darkest_part(points):
    dark = mouth_of(teeth_above_dark(points, 0.4), points, CONFIG).darkest
    assert dark == pytest.approx([30, 30, 30], abs=12)
    assert mouth_of(teeth_above_dark(points, 1.0), points, CONFIG).darkest.min() > 150
    assert dark_mouth(CONFIG).darkest.min() == 255, "nothing is no darkness"
