from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from talkingface.face.pose import apply_similarity, fit_similarity, undo_similarity

POINTS = np.random.default_rng(2).normal(size=(30, 3))
angles = st.floats(-3, 3)


@given(st.tuples(angles, angles, angles), st.floats(0.01, 500), st.tuples(angles, angles, angles))
def test_a_similarity_is_found_again(turn, scale, shift):
    rotation, move = Rotation.from_rotvec(turn).as_matrix(), 100 * np.array(shift)
    moved = apply_similarity(POINTS, rotation, np.array(scale), move)
    found = fit_similarity(POINTS, moved)
    assert found[0] == pytest.approx(rotation, abs=1e-6)
    assert float(found[1]) == pytest.approx(scale, rel=1e-6)
    assert found[2] == pytest.approx(move, abs=1e-5 * (1 + scale))
    assert undo_similarity(moved, *found) == pytest.approx(POINTS, abs=1e-6)


def test_a_mirrored_face_gets_no_reflection():
    rotation, _, _ = fit_similarity(POINTS, POINTS * (-1, 1, 1))
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_many_frames_at_once_equal_one_by_one():
    frames = np.stack([POINTS @ Rotation.from_rotvec([0, a, 0]).as_matrix().T * 3 + a for a in (0.0, 0.2, -0.4)])
    together = fit_similarity(POINTS, frames)
    for k, frame in enumerate(frames):
        for many, one in zip(together, fit_similarity(POINTS, frame), strict=True):
            assert many[k] == pytest.approx(one)
