"""Head, neck, torso and background of a picture without a parsing network."""

from __future__ import annotations

import numpy as np

from faces import sample_picture, sample_points
from talkingface.face.matte import person_matte
from talkingface.face.person_parts import PartFinder, Parts


def test_the_parts_of_a_person():
    rgb, points = sample_picture(), sample_points()
    parts = PartFinder.learn([(rgb, points)]).find(rgb, points)
    every = np.stack([parts.head, parts.neck, parts.torso, parts.background])
    assert (every.sum(0) == 1).all(), "a pixel belongs to one part"
    person = person_matte(rgb) > 0.5
    assert np.array_equal(person, parts.head | parts.neck | parts.torso | (parts.background & person))
    places = points[[1, 10, 33, 263, 152], :2].round().astype(int)  # tip of the nose, forehead, eyes, chin
    assert all(parts.head[y - 2, x] for x, y in places)
    chin = int(points[152, 1])
    below = np.arange(rgb.shape[0])[:, None] > chin + 0.4 * (chin - points[10, 1])
    assert (parts.torso | parts.neck)[person & below].mean() > 0.8
    assert parts.head[person & (np.arange(rgb.shape[0])[:, None] < points[10, 1])].all()


def test_parts_as_numbers():
    head = np.zeros((2, 3), bool)
    head[0, 1] = True
    parts = Parts(head=head, neck=np.roll(head, 1, 1), torso=np.roll(head, 1, 0))
    again = Parts.of_numbers(parts.numbers)
    assert all(np.array_equal(getattr(again, name), getattr(parts, name)) for name in ("head", "neck", "torso"))
