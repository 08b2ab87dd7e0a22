"""Movement of drawn lips over that of the motion, on the shipped portrait."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.data import spread
from benchmarks.systems.portrait.drawn import compare, rows, score
from faces import sample_picture
from talkingface import api
from talkingface.core.types import Motion, Photo
from talkingface.photo.rig import load_rig
from talkingface.photo.scene import face_unit


def jaw_motion(count: int = 16) -> Motion:
    """A mouth that opens and closes twice, the head at rest."""
    rig = load_rig(api.fit(Photo(rgb=sample_picture())).tensors)
    size = rig.model.expression.shape[-1]
    drops = np.array([np.diff(rig.model.displacement(row)[[13, 14], 1])[0] for row in np.eye(size)])
    chosen = int(np.argmax(np.abs(drops)))
    opening = 0.2 * face_unit(rig.resting) / drops[chosen] * np.eye(size)[chosen]
    course = (1 - np.cos(np.arange(count) * 4 * np.pi / count)) / 2
    expression = (course[:, None] * opening).astype(np.float32)
    return Motion(space="mesh478", expression=expression, pose=None, blink=None, fps=25.0)


def test_a_mouth_that_is_drawn_follows_what_was_asked():
    found = score(Photo(rgb=sample_picture()), jaw_motion(), None)
    assert found["gap_asked"] > 0.05
    assert 0.5 < found["gap_ratio"] < 1.3 and 0.5 < found["gap_slope"] < 1.3


def test_ratios_and_slope():
    asked = np.zeros((100, 3))
    asked[:, :2] = 0.1 * np.sin(np.arange(100) / 3)[:, None] * (1, 0.5)
    trembling = asked * 0.8 + 0.1 * np.resize([1, -1], (100, 1))
    found = compare(asked, trembling)
    assert found["gap_slope"] == pytest.approx(0.8, abs=0.05) and found["gap_ratio"] > 1.5
    assert compare(asked, asked)["width_ratio"] == pytest.approx(1)


def test_portraits_that_hardly_move_are_named():
    good = {"gap_ratio": 1.0, "width_ratio": 1.0, "gap_drawn": 0.05, "gap_asked": 0.05, "gap_slope": 1.0}
    scores = [{"portrait": "a", **good}, {"portrait": "b", **good}]
    assert all(row.met is not False for row in rows(scores))
    scores.append({"portrait": "old_man", **good, "gap_ratio": 0.2, "gap_drawn": 0.01})
    still = rows(scores)[-1]
    assert still.met is False and "old_man" in still.name and still.value == 1
    assert any("worst (old_man)" in row.name for row in rows(scores))


def test_a_quick_trial_sees_all_kinds():
    assert spread([*range(10)], 2) == [2, 7]
    assert spread([*range(3)], None) == spread([*range(3)], 5) == [0, 1, 2]
