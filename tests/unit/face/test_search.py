"""What is tried before a picture is refused, and what stays refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faces import sample_picture, sample_points
from talkingface.core.errors import FaceError
from talkingface.face.detect import detect_faces
from talkingface.face.search import find_faces, turn
from talkingface.face.track import track_image


def posterised() -> np.ndarray:
    """The sample in three tones a channel, which the detectors do not take for a face."""
    return (np.round(sample_picture() / 255 * 2) / 2 * 255).astype(np.uint8)


def smiley() -> np.ndarray:
    picture = np.full((400, 400, 3), 255, np.uint8)
    cv2.circle(picture, (200, 200), 150, (255, 220, 60), -1)
    for x in (145, 255):
        cv2.circle(picture, (x, 160), 18, (0, 0, 0), -1)
    cv2.ellipse(picture, (200, 230), (80, 55), 0, 0, 180, (0, 0, 0), 8)
    return picture


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_that_does_not_stand_upright_is_turned(turns):
    face = track_image(turn(sample_picture(), -turns), turned=True)
    assert face.turns == turns and np.array_equal(face.rgb, sample_picture())
    assert np.abs(face.landmarks - sample_points()).max() < 1
    (note,) = face.notes
    assert note == f"the picture {'stands on its head' if turns == 2 else 'lies on its side'}; it is turned upright"


def test_an_upright_or_tilted_head_is_left_alone():
    picture = sample_picture()
    size = picture.shape[1::-1]
    for degrees in (0, -40, 40):
        tilt = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), degrees, 0.8)
        face = track_image(cv2.warpAffine(picture, tilt, size, borderMode=cv2.BORDER_REPLICATE), turned=True)
        assert face.turns == 0 and face.notes == ()


def test_without_leave_nothing_is_turned():
    lying = turn(sample_picture(), 1)
    found = find_faces(lying)
    assert found.turns == 0 and found.rgb is lying


def test_a_drawn_face_is_found_by_the_mesh():
    assert detect_faces(posterised()) == []
    face = track_image(posterised())
    assert np.abs(face.landmarks - sample_points()).mean() < 6
    assert face.notes == ("the face is hard to make out; a clearer picture gives a better result",)
    assert track_image(turn(posterised(), 1), turned=True).turns == 3
    assert find_faces(posterised(), faint=False).boxes == []


def test_what_is_no_face_stays_refused():
    noise = np.random.default_rng(0).integers(0, 255, (200, 240, 3), dtype=np.uint8)
    blank = sample_picture().copy()
    blank[60:260, 80:290] = blank[60:260, 80:290].mean((0, 1)).astype(np.uint8)
    for picture in (smiley(), noise, blank, np.full((200, 200, 3), 90, np.uint8)):
        with pytest.raises(FaceError, match="no face found"):
            track_image(picture, turned=True)


def test_a_small_face_in_a_large_picture_is_found():
    large = np.full((1200, 1600, 3), (90, 120, 90), np.uint8)
    large[900:1020, 1300:1420] = cv2.resize(sample_picture(), (120, 120), interpolation=cv2.INTER_AREA)
    (box,) = find_faces(large).boxes
    assert 1300 < box.centre[0] < 1420 and 900 < box.centre[1] < 1020
