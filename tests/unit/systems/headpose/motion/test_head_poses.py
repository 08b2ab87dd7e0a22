"""Which frame of a clip is chosen for a head pose."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from talkingface.person.heads import make_head
from talkingface.systems.headpose.motion.head_poses import FrameChooser


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


def test_the_chosen_frame_follows_the_clip_when_its_pose_does() -> None:
    head = _head()
    chooser = FrameChooser(head)
    chosen = [chooser.choose(row) for row in head.rows[10:50]]
    assert np.abs(np.array(chosen) - np.arange(10, 50)).max() <= 12
    assert np.abs(np.diff(chosen)).max() <= 1


def test_the_chooser_jumps_when_nothing_near_fits_and_never_shows_an_unseen_frame() -> None:
    head = _head(unseen=tuple(range(20, 30)))
    chooser = FrameChooser(head)
    chooser.choose(head.rows[5])
    far = int(np.abs(head.rows - head.rows[5]).sum(1).argmax())
    assert abs(np.abs(head.rows[chooser.choose(head.rows[far])] - head.rows[far]).sum()) < 0.1
    fresh = FrameChooser(head)
    assert all(fresh.choose(head.rows[number]) not in range(20, 30) for number in (24, 25, 26))
