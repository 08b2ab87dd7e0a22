"""Landmarks of an expression, and the expression of landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.face.morphable import load_mesh478
from talkingface.systems.geneface.landmarks3d import centimetres, expression_of_landmarks, landmark_displacements

MODEL = load_mesh478()
EXPRESSION = np.random.default_rng(0).standard_normal((7, MODEL.expression.shape[-1]))


def test_landmarks_are_linear_and_have_no_pose():
    moved = landmark_displacements(MODEL, None, EXPRESSION)
    assert moved.shape == (7, 68, 3)
    assert np.allclose(landmark_displacements(MODEL, None, 2 * EXPRESSION), 2 * moved)
    assert (landmark_displacements(MODEL, None, 0 * EXPRESSION) == 0).all()
    person = np.random.default_rng(1).standard_normal(MODEL.identity.shape[-1])
    with_person = landmark_displacements(MODEL, person, EXPRESSION)
    assert np.allclose(with_person - moved, (with_person - moved)[:1])


def test_axes_and_units_are_the_published_ones():
    neutral, moved = MODEL.mean, MODEL.mean + MODEL.displacement(EXPRESSION)
    lips = MODEL.landmarks68[[62, 66]]  # inner lips, upper and lower
    ours = landmark_displacements(MODEL, None, EXPRESSION)[:, [62, 66]]
    assert np.allclose(ours[..., 1], -centimetres(MODEL) * (moved - neutral)[:, lips, 1], atol=1e-5)
    eyes = MODEL.mean[MODEL.landmarks68[36:48]].reshape(2, 6, 3).mean(1) * centimetres(MODEL)
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(6.2, abs=0.1)


def test_expressions_are_found_again():
    moved = landmark_displacements(MODEL, None, EXPRESSION)
    found = expression_of_landmarks(MODEL, moved)
    assert found.shape == EXPRESSION.shape
    assert np.abs(landmark_displacements(MODEL, None, found) - moved).max() < 0.02
    assert np.corrcoef(found[:, :5].ravel(), EXPRESSION[:, :5].ravel())[0, 1] > 0.9
