from __future__ import annotations

import numpy as np
import pytest

from faces import mesh_points
from talkingface.face.blink import LEFT_EYE, RIGHT_EYE, eye_aspect, eye_closure


def squinting(amount: float) -> np.ndarray:
    points = mesh_points().copy()
    for eye in (RIGHT_EYE, LEFT_EYE):
        up, low = list(eye["upper"]), list(eye["lower"])
        middle = (points[up] + points[low]) / 2
        points[up] += amount * (middle - points[up])
        points[low] += amount * (middle - points[low])
    return points


def test_aspect_does_not_depend_on_size_or_place():
    points = mesh_points()
    assert 0.15 < eye_aspect(points) < 0.5
    assert eye_aspect(points * 7 + 40) == pytest.approx(float(eye_aspect(points)), rel=1e-4)
    assert eye_aspect(squinting(1)) == pytest.approx(0, abs=1e-6)


def test_closure_runs_from_open_to_closed():
    track = np.stack([squinting(0)] * 8 + [squinting(0.4), squinting(1)])
    closure = eye_closure(track)
    assert closure.shape == (10, 1) and closure.dtype == np.float32
    assert closure[:8] == pytest.approx(0, abs=1e-5)
    assert 0.3 < closure[8, 0] < 0.8
    assert closure[9, 0] == 1
