"""Untrained but working tensors of a config: what tests run on, and what training starts from."""

from __future__ import annotations

import numpy as np

from talkingface.face.morphable import load_mesh478
from talkingface.systems.portrait.motion.config import MouthConfig

NUM_POSE, NUM_BROW = 6, 4


def init_tensors(config: MouthConfig) -> dict[str, np.ndarray]:
    """Arrays by name as in a weights file: random mouth networks, and a head that sways a little and blinks."""
    from talkingface.nn.seeding import seeded
    from talkingface.systems.portrait.motion.network import MouthNet
    from talkingface.systems.portrait.motion.train import finished

    with seeded(0):
        networks = [MouthNet(config).state_dict() for _ in range(config.members)]
    mouth = {f"{k}.{name}": value.numpy() for k, state in enumerate(networks) for name, value in state.items()}
    mouth = finished(mouth, load_mesh478(), gain=1.0)
    columns = NUM_POSE + NUM_BROW
    bump = np.hanning(25).astype(np.float32)[:, None, None]
    head = {
        "kernel": 0.01 * bump * np.eye(columns, dtype=np.float32),
        "response": np.zeros((5, columns), np.float32),
        "limit": np.full(columns, 0.1, np.float32),
        "blink": np.array([0, 0.5, 1, 1, 0.5, 0.2, 0], np.float32),
    }
    return {f"audio2motion.{k}": v for k, v in mouth.items()} | {f"head_motion.{k}": v for k, v in head.items()}
