"""Head poses of a clip, and their rows relative to rest, as `Motion.pose` has them in space mesh478."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from talkingface.face.mesh478_motion import mean_pose, pose_of_row, pose_rows
from talkingface.face.pose import Pose

if TYPE_CHECKING:
    from talkingface.face.morphable import FaceFit
    from talkingface.systems.headpose.compact.data import HeadCrops

STEADY_FRAMES = 75  # frames that play behind a still head
JUMP = 0.06  # cost by which the next frame of the clip may be worse than the best one before the picture jumps there
_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.7, 0.7, 0.7])  # of a pose row: turns are seen more than shifts
_UNSEEN_COST = 10.0  # above every other cost


def frame_pose(poses: FaceFit | ClipHead | HeadCrops, frame: int) -> Pose:
    """The pose in one frame."""
    return Pose(rotation=poses.rotation[frame], scale=float(poses.scale[frame]), translation=poses.translation[frame])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipHead:
    """The head in every frame of a clip: `rotation` [M, 3, 3], `scale` [M] pixels per model unit, `translation` [M, 3].

    `seen` bool [M]: frames that may be shown. Rest is the clip's mean pose.
    """

    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    seen: np.ndarray
    rows: np.ndarray
    """float32 [M, 6] relative to rest: rotation vector, shift x and y in eye distances, log of scale."""
    rest: Pose

    def __len__(self) -> int:
        return len(self.scale)

    def absolute(self, row: np.ndarray) -> Pose:
        """The pose in pixels of a row [6]."""
        return pose_of_row(row, self.rest)


def make_head(rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, seen: np.ndarray) -> ClipHead:
    """The head of a clip from its fit. Rest is the mean of the frames `seen`."""
    rest = mean_pose(rotation, scale, translation, seen)
    rows = pose_rows(rotation, scale, translation, rest)
    return ClipHead(
        rotation=rotation, scale=scale, translation=translation, seen=seen, rows=rows.astype(np.float32), rest=rest
    )


def steady_part(head: ClipHead) -> tuple[int, int]:
    """First frame and length of the part that stays closest to rest: what plays behind a still head."""
    length = min(STEADY_FRAMES, len(head))
    cost = (np.abs(head.rows) * _WEIGHTS).sum(axis=1) + _UNSEEN_COST * ~head.seen
    total = np.convolve(cost, np.ones(length), mode="valid")
    return int(total.argmin()), length


class FrameChooser:
    """Chooses frames of the clip for head poses that come without one; its state is the frame that it chose last.

    The clip plays on, forwards or backwards, while it fits nearly as well as its best frame: jumps show in hair and
    eyes.
    """

    def __init__(self, head: ClipHead) -> None:
        self._head = head
        self._at: int | None = None
        self._step = 1

    def choose(self, row: np.ndarray) -> int:
        """The frame for the pose `row` [6]."""
        cost = (np.abs(self._head.rows - row) * _WEIGHTS).sum(axis=1) + _UNSEEN_COST * ~self._head.seen
        best = int(cost.argmin())
        if self._at is not None:
            ahead = [n for n in (self._at + self._step, self._at - self._step) if 0 <= n < len(cost)]
            near = min(ahead, key=lambda n: cost[n] + (0.01 if n != self._at + self._step else 0.0), default=self._at)
            if cost[near] <= cost[best] + JUMP:
                self._step, best = (1 if near > self._at else -1), near
        self._at = best
        return best
