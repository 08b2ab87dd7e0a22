"""Lids and eyes of a person's clip, about where they mostly are: what an avatar is shown with."""

from __future__ import annotations

import numpy as np

from talkingface.face.eyelids import lid_closure
from talkingface.face.gaze import gaze_rows
from talkingface.person.clip import PersonClip


def lids_of(clip: PersonClip, learned: np.ndarray) -> np.ndarray:
    """`Motion.blink` of a clip, float32 [T]: 0 where the lids are as they mostly are in the frames `learned`."""
    closure = lid_closure(clip.track.landmarks, clip.fit.neutral)
    usual = float(np.median(closure[learned]))
    return np.clip((closure - usual) / max(1 - usual, 1e-3), 0, 1).astype(np.float32)


def look_of(clip: PersonClip, learned: np.ndarray) -> np.ndarray:
    """Where the eyes look as their head sees it, float32 [T, 2] radians: 0 where they mostly do in `learned`."""
    look = gaze_rows(clip.track.landmarks, np.zeros((len(clip), 2)))
    return (look - np.median(look[learned], axis=0)).astype(np.float32)


def gaze_in_room(look: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """`Motion.gaze` float32 [T, 2] of eyes that look at `look` [T, 2] in a head of pose rows [T, 6]."""
    return (look + np.stack([-pose[:, 1], pose[:, 0]], axis=1)).astype(np.float32)
