"""Eyes of a photo: they move under the lids, and keep to their object in a turned head."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faces import drawn_picture, mesh_points, person_alpha
from talkingface.face.camera import rotation_matrix
from talkingface.photo.composite import Drawer, HiddenMouth
from talkingface.photo.eyes import LIDS, MAX_TURN_RAD, eyeball_triangles, find_eyes, inner_shares
from talkingface.photo.rig import close_lids
from talkingface.photo.scene import Rigid, make_scene

AHEAD = np.zeros(2, np.float32)
REST = Rigid(rotation=np.eye(3), scale=1.0, translation=np.zeros(3))
POINTS = mesh_points(unit=100.0)


def eyes_picture() -> np.ndarray:
    """White eyeballs with black irises in grey skin."""
    rgb = np.full((256, 256, 3), 128, np.uint8)
    cv2.fillPoly(
        rgb, [np.round(POINTS[list(LIDS[:16]), :2]).astype(np.int32)[[*range(9), *range(15, 8, -1)]]], (250,) * 3
    )
    cv2.circle(rgb, tuple(np.round(POINTS[468, :2]).astype(int).tolist()), 4, (0, 0, 0), -1)
    return rgb


def draw(rgb: np.ndarray, gaze: np.ndarray | None, closure: float = 0.0) -> np.ndarray:
    scene = make_scene(rgb, POINTS, person_alpha(POINTS, rgb.shape))
    target = close_lids(POINTS.astype(np.float64), closure).astype(np.float32)
    out = np.zeros_like(rgb)
    Drawer(scene, HiddenMouth(colour=np.zeros(3), share=0.0)).draw(target, REST, out, gaze=gaze)
    return out


def dark_middle(rgb: np.ndarray) -> np.ndarray:
    x, y = np.round(POINTS[468, :2]).astype(int)
    part = 255.0 - rgb[y - 12 : y + 13, x - 14 : x + 15, 0]
    weight = np.maximum(part - 130, 0)
    rows, columns = np.indices(weight.shape)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def test_the_mesh_between_the_lids_has_no_hole() -> None:
    lids = POINTS[list(LIDS), :2]
    places = np.concatenate([lids, inner_shares() @ lids])
    a, b, c = (places[eyeball_triangles()[:, k]] for k in range(3))
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]) / 2
    opening = sum(
        cv2.contourArea(lids[[*range(k, k + 9), *range(k + 15, k + 8, -1)]].astype(np.float32)) for k in (0, 16)
    )
    assert (areas * np.sign(areas.sum()) >= 0).all()
    assert abs(areas.sum()) == pytest.approx(opening, rel=1e-4)


def test_eyes_at_rest_are_the_photo_also_while_they_blink() -> None:
    for closure in (0.0, 0.6):
        assert np.array_equal(draw(drawn_picture(), np.zeros(2), closure), draw(drawn_picture(), None, closure))


def test_irises_move_and_the_skin_does_not() -> None:
    picture = eyes_picture()
    still, moved = draw(picture, None), draw(picture, np.array([2.0, 0.0]))
    np.testing.assert_allclose(dark_middle(moved) - dark_middle(still), [2, 0], atol=0.3)
    outside = np.ones(picture.shape[:2], bool)
    x, y = np.round(POINTS[468, :2]).astype(int)
    outside[y - 10 : y + 10, x - 18 : x + 18] = False
    outside[y - 10 : y + 10, 128:] = False
    assert np.array_equal(still[outside], moved[outside])


def test_eyes_keep_to_their_object_when_the_head_turns() -> None:
    eyes = find_eyes(POINTS, eyes_picture())
    for turn in ((0.0, 0.06, 0.0), (0.06, 0.0, 0.0), (-0.05, -0.05, 0.02)):
        head = np.asarray(rotation_matrix(np.array(turn)))
        nose, shift = (head @ (0, 0, -1))[:2], eyes.shift(AHEAD, head)
        assert shift @ nose < 0
        assert np.linalg.norm(shift) == pytest.approx(eyes.ball * np.linalg.norm(nose), rel=0.25)
    assert np.abs(eyes.shift(AHEAD, np.eye(3))).max() < 1e-9


def test_eyes_move_no_further_than_the_photo_shows_of_them() -> None:
    eyes = find_eyes(POINTS, eyes_picture())
    for gaze in ((3.0, 0.0), (-9.0, 9.0), (0.5, 0.5)):
        shift = eyes.shift(np.array(gaze, np.float32), np.eye(3))
        assert np.isfinite(shift).all()
        assert np.abs(shift).max() <= eyes.ball * np.sin(MAX_TURN_RAD) + 1e-9
    aside = POINTS.copy()
    aside[[*range(468, 473)]] += aside[133] - aside[468]  # an iris in the corner of its eye has no way to go there
    assert abs(find_eyes(aside, eyes_picture()).shift(np.array([0.1, 0.0], np.float32), np.eye(3))[0]) < 0.05
    assert eyes.lids(np.array([0.0, 2.0])) > 0 > eyes.lids(np.array([0.0, -2.0]))


def test_shut_lids_hide_the_eyeballs_and_meet_in_a_dark_line() -> None:
    picture, shut = eyes_picture(), draw(eyes_picture(), None, 1.0)
    lids = POINTS[list(LIDS[:16]), :2]
    x0, y0, x1, y1 = *np.floor(lids.min(0)).astype(int), *np.ceil(lids.max(0)).astype(int)
    eye = np.s_[y0:y1, x0 + 4 : x1 - 4, 0]
    assert picture[eye].max() == 250 and shut[eye].max() < 140, "skin, and no sliver of white"
    assert shut[eye].min(0).max() < 110, "in every column there is something of the line"


def test_lids_that_open_wider_uncover_nothing_beyond_the_eye() -> None:
    eyes, lids = find_eyes(POINTS, eyes_picture()), list(LIDS)
    wide, half_shut = (close_lids(POINTS.astype(np.float64), closure)[lids, :2] for closure in (-0.3, 0.3))
    assert eyes.within(wide)[: len(LIDS)] == pytest.approx(POINTS[lids, :2], abs=0.05)
    assert eyes.within(half_shut)[: len(LIDS)] == pytest.approx(half_shut)


def test_lids_count_as_closing_by_themselves_and_not_when_the_head_turns() -> None:
    eyes = find_eyes(POINTS, eyes_picture())
    shares = [eyes.closing(close_lids(POINTS.astype(np.float64), closure)).mean() for closure in (0, 0.05, 0.4, 0.9)]
    assert shares[0] == shares[1] == 0 < shares[2] < shares[3] == 1


def test_irises_follow_those_of_a_tracked_face() -> None:
    eyes = find_eyes(POINTS, eyes_picture())
    looking = POINTS.astype(np.float64)
    assert eyes.followed(looking) == pytest.approx([0, 0], abs=1e-4)
    looking[468:478, 0] += 1
    assert eyes.followed(looking) == pytest.approx([1, 0], abs=0.3)
    assert eyes.followed(looking + (5, 2, 0)) == pytest.approx(eyes.followed(looking), abs=1e-4), "in the head"


def test_shut_lids_show_skin_and_not_what_lies_above_the_eye() -> None:
    picture = eyes_picture()
    for up in (2, 4):  # lashes, and hairs of a low brow
        line = np.round(POINTS[list(LIDS[:9]), :2] - (0, up)).astype(np.int32)
        cv2.polylines(picture, [line], False, (10, 10, 10))
    shut, plain = draw(picture, None, 1.0), draw(eyes_picture(), None, 1.0)
    lids = POINTS[list(LIDS[:16]), :2]
    x0, y0, x1, y1 = *np.floor(lids.min(0)).astype(int), *np.ceil(lids.max(0)).astype(int)
    eye = np.s_[y0:y1, x0:x1, 0]
    assert np.abs(shut[eye].astype(int) - plain[eye]).mean() < 15
    assert np.array_equal(draw(picture, None), picture), "open eyes are the photo"


def test_shut_lids_hide_the_white_of_eyes_that_are_larger_than_tracked() -> None:
    picture = eyes_picture()
    for upper, lower, iris in ((LIDS[:9], LIDS[9:16], 468), (LIDS[16:25], LIDS[25:], 473)):
        middle = POINTS[iris, :2]
        ring = middle + 1.25 * (POINTS[[*upper, *lower[::-1]], :2] - middle)
        cv2.fillPoly(picture, [np.round(ring).astype(np.int32)], (250,) * 3)
    shut = draw(picture, None, 1.0)
    x, y = np.round(POINTS[468, :2]).astype(int)
    assert shut[y - 14 : y + 15, x - 8 : x + 9].max() < 140
