from __future__ import annotations

import numpy as np
import pytest

from faces import sample_picture
from talkingface.face.detect import FaceBox, detect_faces, square_crop


def test_a_crop_inside_the_picture_is_cut_out():
    picture = np.arange(100 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 80, 3)
    crop, (x, y) = square_crop(picture, (40, 50), 20)
    assert (x, y) == (30, 40)
    assert np.array_equal(crop, picture[40:60, 30:50])


@pytest.mark.parametrize("centre", [(0, 0), (80, 100), (40, -3), (-5, 50)])
def test_a_crop_over_the_border_repeats_the_edge(centre):
    picture = np.random.default_rng(0).integers(0, 255, (100, 80, 3), dtype=np.uint8)
    crop, (x, y) = square_crop(picture, centre, 24)
    rows, columns = np.clip(np.arange(y, y + 24), 0, 99), np.clip(np.arange(x, x + 24), 0, 79)
    assert np.array_equal(crop, picture[rows][:, columns])


def test_a_crop_far_outside_is_black():
    crop, _ = square_crop(np.full((20, 20, 3), 200, np.uint8), (500, 500), 16)
    assert crop.shape == (16, 16, 3) and not crop.any()


def test_box_figures():
    box = FaceBox(x0=10, y0=20, x1=40, y1=60, turn_rad=0.0, score=0.9)
    assert box.side_px == 40 and box.centre == (25, 40)


def test_the_sample_has_one_face():
    (box,) = detect_faces(sample_picture())
    h, w = sample_picture().shape[:2]
    assert 0 < box.centre[0] < w and 0 < box.centre[1] < h and box.score > 0.5


def test_two_faces_come_largest_first():
    import cv2

    small = cv2.resize(sample_picture(), (240, 240), interpolation=cv2.INTER_AREA)
    both = np.full((360, 600, 3), 128, np.uint8)
    both[:240, :240] = small
    both[:, 240:] = cv2.resize(sample_picture(), (360, 360))
    boxes = detect_faces(both)
    assert len(boxes) == 2
    assert boxes[0].side_px > boxes[1].side_px and boxes[0].x0 > boxes[1].x0


@pytest.mark.parametrize("picture", [np.zeros((120, 160, 3), np.uint8), None], ids=["black", "noise"])
def test_nothing_is_no_face(picture):
    if picture is None:
        picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    assert detect_faces(picture) == []
