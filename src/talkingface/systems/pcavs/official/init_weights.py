"""Weights before any training, from a seed: what tests and new trainings of the system begin with."""

from __future__ import annotations

import numpy as np

from talkingface.systems.pcavs.official.pose.pose_features import FEATURE_UNITS
from talkingface.systems.pcavs.official.pose.pose_map import PoseMap

SEED = 0
_POSE, _BROWS, _TAPS = 6, 4, 9


def init_tensors(pose_numbers: int) -> dict[str, np.ndarray]:
    """A pose map and a head motion, in the form in which weights hold them."""
    rng = np.random.default_rng(SEED)
    channels = _POSE + _BROWS
    kernel = np.zeros((_TAPS, channels, channels), np.float32)
    kernel[:] = np.eye(channels) * 0.01
    num_features = len(FEATURE_UNITS)
    pose = PoseMap(
        turns=rng.normal(size=(pose_numbers, 3)).astype(np.float32),
        features=rng.normal(size=(pose_numbers, num_features)).astype(np.float32),
        units=np.ones(num_features, np.float32),
    )
    return pose.tensors() | {
        "head_motion.kernel": kernel,
        "head_motion.response": np.zeros((4, channels), np.float32),
        "head_motion.limit": np.full(channels, 0.2, np.float32),
        "head_motion.blink": np.array([0, 0.5, 1, 0.5, 0], np.float32),
    }
