"""Head poses of a clip, and their rows relative to rest, as `Motion.pose` has them in space mesh478."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from talkingface.face.mesh478_motion import mean_pose, pose_of_row, pose_rows
from talkingface.face.pose import Pose

MOST_POSE = np.array([0.8, 0.8, 0.8, 1.5, 1.5, 0.7], np.float32)
"""Foreign pose rows go no further than this: beyond, pictures are torn, and their pixels would fill any memory."""

STEADY_FRAMES = 75  # frames that play behind a still head
POSE_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.7, 0.7, 0.7])  # of a pose row: turns are seen more than shifts
UNSEEN_COST = 10.0  # above every other cost


class Poses(Protocol):
    """Poses of M frames: `rotation` [M, 3, 3], `scale` [M] and `translation` [M, 3]."""

    @property
    def rotation(self) -> np.ndarray: ...

    @property
    def scale(self) -> np.ndarray: ...

    @property
    def translation(self) -> np.ndarray: ...


def frame_pose(poses: Poses, frame: int) -> Pose:
    """The pose in one frame."""
    return Pose(rotation=poses.rotation[frame], scale=float(poses.scale[frame]), translation=poses.translation[frame])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipHead:
    """The head in every frame of a clip: `rotation` [M, 3, 3], `scale` [M] pixels per model unit, `translation` [M, 3].

    `seen` bool [M]: frames that may be shown.
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


def make_head(
    rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, seen: np.ndarray, rest: Pose | None = None
) -> ClipHead:
    """The head of a clip from its fit. `rest` None: the mean of the frames `seen`."""
    rest = mean_pose(rotation, scale, translation, seen) if rest is None else rest
    rows = pose_rows(rotation, scale, translation, rest)
    return ClipHead(
        rotation=rotation, scale=scale, translation=translation, seen=seen, rows=rows.astype(np.float32), rest=rest
    )


def steady_part(head: ClipHead) -> tuple[int, int]:
    """First frame and length of the part that stays closest to rest: what plays behind a still head."""
    length = min(STEADY_FRAMES, len(head))
    cost = (np.abs(head.rows) * POSE_WEIGHTS).sum(axis=1) + UNSEEN_COST * ~head.seen
    total = np.convolve(cost, np.ones(length), mode="valid")
    return int(total.argmin()), length
