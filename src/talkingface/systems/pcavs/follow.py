"""The head motion of a clip, laid on motion at any rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from talkingface.core.motion import ping_pong
from talkingface.core.types import Motion

FPS = 25.0


def follow_poses(motions: Iterable[Motion], pose: np.ndarray) -> Iterator[Motion]:
    """Motion at any rate with the pose rows [T, P] of a clip at 25 fps: past its end backwards, then forwards."""
    for piece in motions:
        # in between, poses are mixed: at 50 frames a second every other picture would repeat the one before
        at = (piece.start + np.arange(len(piece))) * (FPS / piece.fps)
        before = at.astype(np.int64)
        share = (at - before)[:, None].astype(np.float32)
        rows = pose[ping_pong(before, len(pose))] * (1 - share) + pose[ping_pong(before + 1, len(pose))] * share
        yield replace(piece, pose=rows.astype(np.float32))
