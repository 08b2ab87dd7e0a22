"""Head poses of an avatar's clip: what is kept of them, and which frame is shown for a pose that comes without one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from talkingface.core.types import Track
from talkingface.face.morphable import FaceFit
from talkingface.face.pose import Pose
from talkingface.person.heads import POSE_WEIGHTS, UNSEEN_COST, ClipHead, make_head

JUMP = 0.06  # cost by which the next frame of the clip may be worse than the best one before the picture jumps there


def head_tensors(track: Track, fit: FaceFit) -> dict[str, np.ndarray]:
    """What an avatar keeps of the head in its clip's frames."""
    return {
        "seen": (track.confidence > 0).astype(np.uint8),
        "rotation": fit.rotation.astype(np.float32),
        "scale": fit.scale.astype(np.float32),
        "translation": fit.translation.astype(np.float32),
    }


def head_from_tensors(kept: Mapping[str, np.ndarray], rest: Pose | None = None) -> ClipHead:
    """The head of an avatar's clip, which rests at `rest` or in its mean. Raises KeyError for other tensors."""
    rotation, scale, translation = (kept[name].astype(np.float64) for name in ("rotation", "scale", "translation"))
    return make_head(rotation, scale, translation, kept["seen"].astype(bool), rest)


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
        cost = (np.abs(self._head.rows - row) * POSE_WEIGHTS).sum(axis=1) + UNSEEN_COST * ~self._head.seen
        best = int(cost.argmin())
        if self._at is not None:
            ahead = [n for n in (self._at + self._step, self._at - self._step) if 0 <= n < len(cost)]
            near = min(ahead, key=lambda n: cost[n] + (0.01 if n != self._at + self._step else 0.0), default=self._at)
            if cost[near] <= cost[best] + JUMP:
                self._step, best = (1 if near > self._at else -1), near
        self._at = best
        return best
