"""Head poses of a clip: rows and back, and what plays behind a still head."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from talkingface.person.heads import make_head, steady_part


def _head(count: int = 120, unseen: tuple[int, ...] = ()):
    t = np.arange(count) / 25
    turn = np.column_stack([0.05 * np.sin(t), 0.2 * np.sin(0.7 * t), 0.03 * np.cos(t)])
    turn[60:] *= 0.05  # the second half hardly moves
    seen = np.ones(count, bool)
    seen[list(unseen)] = False
    return make_head(
        Rotation.from_rotvec(turn + (0.1, -0.05, 0.02)).as_matrix(),
        80 + np.sin(t),
        np.column_stack([300 + 10 * np.sin(t), 200 + 4 * np.cos(t), np.zeros(count)]),
        seen,
    )


def test_rows_are_relative_to_rest_and_lead_back_to_the_pose() -> None:
    head = _head()
    assert np.abs(head.rows[:, 3:].mean(0)).max() < 1e-3
    for number in (0, 37, 119):
        pose = head.absolute(head.rows[number])
        np.testing.assert_allclose(pose.rotation, head.rotation[number], atol=1e-5)
        np.testing.assert_allclose(pose.scale, head.scale[number], rtol=1e-5)
        np.testing.assert_allclose(pose.translation[:2], head.translation[number, :2], atol=1e-3)


def test_unseen_frames_do_not_count_for_rest() -> None:
    far = _head(unseen=(5,))
    rotation, translation = far.rotation.copy(), far.translation.copy()
    translation[5] += 1e4
    moved = make_head(rotation, far.scale, translation, far.seen)
    np.testing.assert_allclose(moved.rest.translation, far.rest.translation)


def test_a_still_head_rests_over_the_steadiest_part() -> None:
    first, length = steady_part(_head(300))
    assert length == 75 and first >= 55
