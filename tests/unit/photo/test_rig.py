from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces import mesh_points, open_mouth, sample_points
from talkingface.face.blink import eye_aspect
from talkingface.face.morphable import fit_photo, inner_lip_gap, load_mesh478
from talkingface.photo.rig import MAX_LOG_SCALE, MAX_SHIFT, MAX_TURN_RAD, Rig, close_lids, folded, soft_limit, unfold
from talkingface.photo.scene import Room

MODEL = load_mesh478()
NOTHING = np.zeros(MODEL.expression.shape[-1], np.float32)


def make_rig(points: np.ndarray) -> Rig:
    fit = fit_photo(MODEL, points)
    return Rig(
        model=MODEL,
        photo=points.astype(np.float64),
        resting=fit.resting.astype(np.float64),
        rotation=fit.rotation[0],
        scale=float(fit.scale[0]),
        translation=fit.translation[0],
    )


@pytest.mark.parametrize("points", [mesh_points(), sample_points(), open_mouth(sample_points(), 0.2)])
def test_no_motion_is_the_photo_with_closed_lips(points):
    target, rigid = make_rig(points).target(NOTHING, None, 0.0)
    assert inner_lip_gap(target) < 0.012
    unit = np.linalg.norm(points[33] - points[263])
    assert np.abs(target - points)[[33, 133, 263, 362, 10, 168, 1, 234, 454]].max() < 0.04 * unit
    assert np.array_equal(rigid(points), points)


def test_a_pose_of_zeros_is_no_pose():
    rig = make_rig(sample_points())
    still, _ = rig.target(NOTHING, None, 0.0)
    zero, _ = rig.target(NOTHING, np.zeros(6, np.float32), 0.0)
    assert zero == pytest.approx(still, abs=1e-6)


vectors = st.lists(st.floats(-50, 50), min_size=3, max_size=3).map(np.array)


@given(vectors, st.floats(0.1, 2))
def test_soft_limits(values, limit):
    length, limited = np.linalg.norm(values), soft_limit(values, limit)
    assert np.linalg.norm(limited) <= min(limit, length) + 1e-9
    assert limited @ values >= 0 and np.linalg.norm(np.cross(limited, values)) < 1e-6 * (1 + length)
    if length < limit / 2:
        assert np.abs(limited - values).max() <= 0.1 * length


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=6))
def test_no_motion_file_can_tear_the_head_off(row):
    rig = make_rig(mesh_points())
    rigid = rig.movement(np.array(row, np.float32))
    turn = np.arccos(np.clip((np.trace(rigid.rotation) - 1) / 2, -1, 1))
    assert turn <= MAX_TURN_RAD + 1e-6
    assert np.linalg.norm(rigid(rig.translation) - rig.translation) <= MAX_SHIFT * rig.scale + 1e-6
    assert abs(np.log(rigid.scale)) <= MAX_LOG_SCALE + 1e-6


ROOM = Room(
    size=(400, 300), centre=np.array([130.0, 120]), reach=np.array([60.0, 60, 50, 80]),
    away=np.array([np.inf, 60, 50, 80]),
)  # fmt: skip


@given(st.lists(st.floats(-100, 100), min_size=6, max_size=6))
def test_with_room_it_stays_within_reach_of_the_picture(row):
    rig = replace(make_rig(mesh_points()), room=ROOM)
    rigid = rig.movement(np.array(row, np.float32))
    x, y, _ = rigid(rig.translation) - rig.translation
    assert -60.001 <= x <= 270.001 and -80.001 <= y <= 50.001
    assert abs(np.log(rigid.scale)) <= MAX_LOG_SCALE + 1e-6


def test_small_movements_are_the_heads_alone_and_large_ones_take_the_body_along():
    alone = make_rig(mesh_points())
    rig = replace(alone, room=ROOM)
    for row in ([0, 0.1, 0, 0.1, 0.1, 0.08], [0, 0, 0, -0.19, 0, 0]):
        own, with_room = alone.movement(np.float32(row)), rig.movement(np.float32(row))
        assert with_room.body is None and np.array_equal(own.translation, with_room.translation)
    far = rig.movement(np.float32([0, 0, 0, 2.0, 0, 0]))
    assert far.body is not None and not far.body.shift[1]
    assert far(rig.translation)[0] - rig.translation[0] == pytest.approx(2 * rig.scale, rel=0.1)
    assert 0.8 * 2 * rig.scale < far.body.shift[0] < 2 * rig.scale
    grown = rig.movement(np.float32([0, 0, 0, 0, 0, 0.4]))
    assert grown.body is not None and grown.body.scale == pytest.approx(grown.scale)


def test_shifts_grow_without_a_jump():
    rig = replace(make_rig(mesh_points()), room=ROOM)
    rows = np.zeros((200, 6), np.float32)
    rows[:, 3] = np.linspace(0, 1.5, 200)
    places = np.array([rig.movement(row)(rig.translation)[0] for row in rows])
    assert (np.diff(places) > 0).all() and np.diff(places).max() < 3 * np.diff(places).min()


def test_the_pose_turns_the_way_it_says():
    rig = make_rig(mesh_points())
    nose, oval = 1, [10, 152, 234, 454]
    right = rig.movement(np.array([0, 0, 0, 0.2, 0, 0]))(mesh_points())
    assert (right - mesh_points())[:, 0] == pytest.approx(0.2 * rig.scale, rel=0.1)
    larger = rig.movement(np.array([0, 0, 0, 0, 0, 0.1]))(mesh_points())
    assert np.ptp(larger[:, 0]) > np.ptp(mesh_points()[:, 0])
    turned = rig.movement(np.array([0, 0.2, 0, 0, 0, 0]))(mesh_points())
    moved = turned - mesh_points()
    assert moved[nose, 0] * moved[oval, 0].mean() < 0, "the nose goes one way, the back of the head the other"


def test_lids():
    shape = MODEL.mean.astype(np.float64)
    assert close_lids(shape, 0.0) is shape
    aspects = [float(eye_aspect(close_lids(shape, closure))) for closure in (0, 0.25, 0.5, 0.75, 1)]
    assert np.all(np.diff(aspects) < 0)
    assert aspects[-1] < 0.1 * aspects[0]
    moved = np.abs(close_lids(shape, 1.0) - shape).max(1) > 0
    assert not moved[[33, 133, 263, 362, 13, 14, 1, 105, *range(468, 478)]].any()
    assert moved[[159, 386, 145, 374, 27, 257]].all()
    crease = close_lids(shape, 1.0) - shape
    assert 0 < crease[27, 1] < crease[159, 1], "the skin above follows part of the way"


@pytest.mark.parametrize("points", [mesh_points(), sample_points(), open_mouth(sample_points(), 0.2)])
def test_no_expression_folds_the_skin(points):
    rig = make_rig(points)
    rng = np.random.default_rng(0)
    for _ in range(20):
        expression = np.clip(1.5 * rng.normal(size=len(NOTHING)), -2.5, 2.5).astype(np.float32)
        target, _ = rig.target(expression, None, float(rng.random()))
        assert not folded(target, points).any()


def test_unfolding_leaves_sound_skin_alone_and_mends_near_the_fold():
    points = sample_points().astype(np.float64)
    moved = points + [3.0, -2.0, 0.0]
    assert unfold(moved, points) == pytest.approx(moved, abs=1e-9)
    torn = moved.copy()
    torn[105, 1] += 0.4 * np.linalg.norm(points[33] - points[263])  # a brow drawn down over the eye
    assert folded(torn, points).any()
    mended = unfold(torn, points)
    assert not folded(mended, points).any()
    far = np.linalg.norm(points - points[105], axis=1) > 0.9 * np.linalg.norm(points[33] - points[263])
    assert mended[far] == pytest.approx(moved[far], abs=1e-9)
