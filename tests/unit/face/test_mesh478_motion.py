"""The one formula of head poses in space mesh478, and what they are measured from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from faces import sample_points
from talkingface.core.errors import UsageError
from talkingface.core.types import Controls, Motion, Track
from talkingface.face.gaze import EYEBALL
from talkingface.face.mesh478_motion import RestingHead, driven_motion, mean_pose, pose_of_row, pose_rows
from talkingface.face.morphable import fit_photo, load_mesh478
from talkingface.face.pose import STABLE_POINTS, Pose

SIZE = (400, 300)
COUNT = 40


def _moving(shift_px: float = 30.0) -> Track:
    """The sample's face, turning, growing and going to the right from a second frame on that is like the first."""
    points = sample_points().astype(np.float64)
    centre = points[STABLE_POINTS].mean(axis=0)
    share = np.clip((np.arange(COUNT) - 10) / 20, 0, 1)[:, None]
    turn = Rotation.from_rotvec(share * [0.0, 0.2, 0.0]).as_matrix()
    moved = (points - centre) @ turn.transpose(0, 2, 1) * np.exp(0.1 * share)[..., None] + centre
    moved[..., 0] += shift_px * share
    return Track(
        landmarks=moved.astype(np.float32), times_s=np.arange(COUNT) / 25, confidence=np.ones(COUNT, np.float32),
        size=SIZE,
    )  # fmt: skip


def _driven(track: Track, origin: str | None, head: RestingHead | None = None, **controls: float) -> Motion:
    return driven_motion(track, 25.0, Controls(pose_origin=origin, **controls), head)  # type: ignore[arg-type]


def _unit(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[33] - points[263]))


def test_rows_and_poses_are_inverse() -> None:
    rest = Pose(rotation=Rotation.from_rotvec([0.1, 0.2, -0.1]).as_matrix(), scale=80.0, translation=np.arange(3.0))
    row = np.array([0.2, -0.1, 0.05, 0.3, -0.2, 0.1])
    there = pose_of_row(row, rest)
    rows = pose_rows(there.rotation[None], np.array([there.scale]), there.translation[None], rest)
    np.testing.assert_allclose(rows[0], row, atol=1e-12)


def test_the_mean_counts_frames_that_were_seen() -> None:
    rotation, translation = np.repeat(np.eye(3)[None], 3, 0), np.array([[0.0, 0, 0], [2, 2, 0], [90, 90, 0]])
    found = mean_pose(rotation, np.array([1.0, 4.0, 100.0]), translation, np.array([True, True, False]))
    assert found.scale == pytest.approx(2.0) and found.translation.tolist() == [1, 1, 0]


def test_the_first_frame_is_the_rest_by_default() -> None:
    motion = _driven(_moving(), None)
    assert motion.pose is not None and motion.blink is not None and motion.fps == 25.0
    assert np.abs(motion.pose[:6]).max() < 1e-5
    expected = [0, 0.2, 0, 30 / _unit(sample_points()), 0, 0.1]
    np.testing.assert_allclose(motion.pose[-1], expected, atol=0.02)
    np.testing.assert_array_equal(motion.pose, _driven(_moving(), "first").pose)
    half = _driven(_moving(), "first", pose_scale=0.5)
    np.testing.assert_allclose(half.pose, 0.5 * motion.pose, atol=1e-6)


def test_poses_about_the_mean() -> None:
    pose = _driven(_moving(), "mean").pose
    assert pose is not None
    np.testing.assert_allclose(pose.mean(axis=0), 0, atol=2e-3)
    first = _driven(_moving(), "first").pose
    assert first is not None
    np.testing.assert_allclose(pose[-1, :3] - pose[0, :3], first[-1, :3], atol=2e-3)


def test_a_head_is_placed_where_the_drivers_is() -> None:
    """In the same picture it goes there; a picture of twice the size counts the same shares."""
    own = sample_points() + np.float32([-20, 0, 0])
    pose = _driven(_moving(), "none", RestingHead(points=own, size=SIZE)).pose
    assert pose is not None
    np.testing.assert_allclose(pose[0], [0, 0, 0, 20 / _unit(own), 0, 0], atol=0.01)
    np.testing.assert_allclose(pose[-1], [0, 0.2, 0, 50 / _unit(own), 0, 0.1], atol=0.02)
    twice = RestingHead(points=2 * own, size=(2 * SIZE[0], 2 * SIZE[1]))
    np.testing.assert_allclose(_driven(_moving(), "none", twice).pose, pose, atol=1e-4)
    with pytest.raises(UsageError, match="name it with --face"):
        _driven(_moving(), "none")


def _smiling_at_first(strength: float) -> Track:
    """The sample's face, resting, after a first second with the corners of its mouth apart and the brows up."""
    model, points = load_mesh478(), sample_points().astype(np.float64)
    expression = np.zeros(model.expression.shape[-1], np.float32)
    expression[[2, model.num_mouth]] = strength
    smile = _unit(points) * model.displacement(expression)
    share = np.clip((35 - np.arange(COUNT)) / 10, 0, 1)[:, None, None]
    return Track(
        landmarks=(points + share * smile).astype(np.float32), times_s=np.arange(COUNT) / 25,
        confidence=np.ones(COUNT, np.float32), size=SIZE,
    )  # fmt: skip


def test_a_face_that_drives_its_own_photo_rests_in_it_whatever_it_shows() -> None:
    track, model = _smiling_at_first(2.5), load_mesh478()
    head = RestingHead(points=track.landmarks[0], size=SIZE)

    rest = fit_photo(model, head.points)

    def missed(driven: Motion) -> float:
        shape = rest.resting + model.displacement(driven.expression[0])
        drawn = rest.scale[0] * shape @ rest.rotation[0].T + rest.translation[0]
        return float(np.linalg.norm(drawn - head.points, axis=-1)[:468].mean()) / _unit(head.points)

    assert missed(_driven(track, "first", head)) < 0.5 * missed(_driven(track, "first"))


def test_another_face_is_driven_from_its_own_rest() -> None:
    track = _smiling_at_first(2.5)
    wide = sample_points() * np.float32([1.25, 1, 1])
    other = _driven(track, "first", RestingHead(points=wide, size=SIZE))
    np.testing.assert_array_equal(other.expression, _driven(track, "first").expression)


def test_eyes_look_where_the_drivers_do_and_hold_it_while_they_blink() -> None:
    track = _moving(0.0)
    points = np.repeat(sample_points()[None], COUNT, 0)
    points[20:, 468:478, 0] += 0.03 * _unit(sample_points())
    points[30:32, 468:478, 0] -= 0.2 * _unit(sample_points())  # shut eyes hide the irises
    for upper, lower in ((159, 145), (160, 144), (158, 153), (386, 374), (385, 380), (387, 373)):
        points[30:32, upper] = points[30:32, lower]
    still = Track(landmarks=points, times_s=track.times_s, confidence=track.confidence, size=SIZE)
    gaze = _driven(still, "first").gaze
    assert gaze is not None and gaze.shape == (COUNT, 2)
    turned = gaze[22:, 0] - gaze[:18, 0].mean()
    assert turned == pytest.approx(np.arcsin(0.03 / EYEBALL), abs=0.09)
    assert not _driven(still, "first", gaze=0.0).gaze.any()  # type: ignore[union-attr]
