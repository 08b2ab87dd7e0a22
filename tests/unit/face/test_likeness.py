"""One person looks alike in two pictures, two people do not."""

from __future__ import annotations

import cv2
import numpy as np

from faces import sample_picture
from talkingface.face.likeness import SAME_PERSON, Look, distance, look_of
from talkingface.face.track import track_image


def look(picture: np.ndarray) -> Look:
    return look_of(picture, track_image(picture).landmarks)


def test_place_size_and_light_matter_little():
    picture = sample_picture()
    own = look(picture)
    assert distance(own, [own]) == 0
    larger = cv2.resize(picture, None, fx=1.4, fy=1.4)[40:400, 60:420]
    for changed in (np.roll(picture, 9, axis=1), larger, (picture * 0.8).astype(np.uint8)):
        assert distance(look(changed), [own]) < 0.5 * SAME_PERSON


def test_another_face_is_far():
    picture = sample_picture()
    other = look(np.clip(255 - 0.5 * (255.0 - picture[:, ::-1, ::-1]), 0, 255).astype(np.uint8))
    own = look(picture)
    assert distance(other, [own]) > SAME_PERSON
    assert distance(other, [own, other]) == 0, "the nearest counts"
    assert distance(other, []) == np.inf
