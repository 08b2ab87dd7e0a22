from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from faces import mesh_points, open_mouth, sample_points
from talkingface.core.types import Track
from talkingface.face.morphable import (
    close_mouth,
    fit_photo,
    fit_track,
    inner_lip_gap,
    load_mesh478,
    model_from_tensors,
    model_to_tensors,
)
from talkingface.face.pose import STABLE_POINTS, apply_similarity

MODEL = load_mesh478()


def make_track(points: np.ndarray) -> Track:
    return Track(
        landmarks=points.astype(np.float32),
        times_s=np.arange(len(points)) / 25,
        confidence=np.ones(len(points), np.float32),
        size=(640, 480),
    )


def test_the_shipped_model_keeps_its_promises():
    assert MODEL.mean.shape == (478, 3) and MODEL.triangles.max() < 478
    assert np.linalg.norm(MODEL.mean[33] - MODEL.mean[263]) == pytest.approx(1, abs=0.02)
    assert MODEL.mean[STABLE_POINTS].mean(0) == pytest.approx(0, abs=0.02)
    assert 0 < MODEL.num_mouth < MODEL.expression.shape[-1]
    assert inner_lip_gap(MODEL.mean) < 0.06


def test_mouth_and_brow_columns_move_their_own_parts():
    mouth = np.abs(MODEL.expression[..., : MODEL.num_mouth]).max((1, 2))
    brow = np.abs(MODEL.expression[..., MODEL.num_mouth :]).max((1, 2))
    assert mouth[[105, 334]].max() < 1e-3 < mouth[14]
    assert brow[[13, 14, 152]].max() < 1e-3 < brow[105]


def test_shape_adds_identity_and_expression():
    zero_identity, zero = np.zeros(MODEL.identity.shape[-1]), np.zeros((3, MODEL.expression.shape[-1]))
    assert MODEL.shape(zero_identity, zero) == pytest.approx(np.broadcast_to(MODEL.mean, (3, 478, 3)))


def test_an_expression_is_found_again():
    true = np.random.default_rng(3).normal(size=(5, MODEL.expression.shape[-1])).astype(np.float32)
    found = MODEL.expression_of(MODEL.displacement(true), prior=1e-6)
    assert found == pytest.approx(true, abs=0.02)
    assert np.abs(MODEL.expression_of(MODEL.displacement(true))).sum() < np.abs(true).sum(), "the prior leans on 0"


def test_a_photo_gives_its_pose():
    rotation = Rotation.from_euler("yxz", [20, -8, 5], degrees=True).as_matrix()
    points = apply_similarity(MODEL.mean, rotation, np.array(80.0), np.array([200.0, 150, 10]))
    fit = fit_photo(MODEL, points)
    assert fit.rotation[0] == pytest.approx(rotation, abs=0.03)
    assert fit.scale[0] == pytest.approx(80, rel=0.03)
    assert fit.translation[0] == pytest.approx([200, 150, 10], abs=2)
    assert fit.neutral == pytest.approx(MODEL.mean, abs=0.08)


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.3])
def test_however_open_the_photo_the_person_rests_with_closed_lips(amount):
    for points in (mesh_points(), sample_points()):
        fit = fit_photo(MODEL, open_mouth(points, amount))
        assert inner_lip_gap(fit.neutral) < 0.012
        assert inner_lip_gap(fit.resting) < 0.012


def test_closing_leaves_eyes_and_brows():
    wide = open_mouth(MODEL.mean, 0.3)
    closed = close_mouth(MODEL, wide)
    assert inner_lip_gap(wide) > 0.15 > 0.02 > inner_lip_gap(closed)
    assert closed[[33, 133, 105, 10]] == pytest.approx(wide[[33, 133, 105, 10]], abs=1e-3)


def test_a_track_gives_back_the_expression_and_pose_it_was_made_from():
    rng = np.random.default_rng(5)
    expression = np.zeros((40, MODEL.expression.shape[-1]), np.float32)
    expression[10:30, 0] = np.sin(np.linspace(0, np.pi, 20)) * np.sign(MODEL.displacement(np.eye(20)[0])[14, 1]) * 1.5
    turns = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.01, (40, 3)), axis=0)).as_matrix()
    shapes = close_mouth(MODEL, MODEL.mean) + MODEL.displacement(expression)
    points = apply_similarity(shapes, turns, np.full(40, 90.0), np.full((40, 3), 200.0))
    fit = fit_track(MODEL, make_track(points))
    assert np.corrcoef(fit.expression[:, 0], expression[:, 0])[0, 1] > 0.98
    relative = turns @ turns[:1].transpose(0, 2, 1), fit.rotation @ fit.rotation[:1].transpose(0, 2, 1)
    assert relative[1] == pytest.approx(relative[0], abs=0.02)
    assert fit.scale == pytest.approx(90, rel=0.05)


def test_the_model_survives_being_saved():
    again = model_from_tensors(model_to_tensors(MODEL))
    for name in ("mean", "identity", "expression", "triangles"):
        assert np.array_equal(getattr(again, name), getattr(MODEL, name))
    assert (again.num_mouth, again.name) == (MODEL.num_mouth, MODEL.name)
    assert again.noise == pytest.approx(MODEL.noise)
