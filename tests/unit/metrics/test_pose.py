"""Ranges of head motion."""

from __future__ import annotations

import numpy as np

from talkingface.metrics.pose import angle_speeds, pose_angles, pose_range, share_inside


def swing(degrees: float, seconds: float = 8.0, hz: float = 0.5) -> np.ndarray:
    t = np.arange(int(seconds * 25)) / 25
    pose = np.zeros((len(t), 6))
    pose[:, 1] = np.radians(degrees) * np.sin(2 * np.pi * hz * t)
    return pose


def test_speed_of_a_swing() -> None:
    speed = angle_speeds(pose_angles(swing(5.0)), 25.0)
    assert abs(speed[:, 1].max() - 5 * np.pi) < 0.2
    assert not speed[:, 0].any()


def test_smaller_swings_lie_inside() -> None:
    allowed = pose_range([swing(5.0), swing(6.0)], 25.0)
    np.testing.assert_allclose(share_inside(swing(3.0), 25.0, allowed), 1.0)
    assert share_inside(swing(12.0), 25.0, allowed)[1] < 0.6
