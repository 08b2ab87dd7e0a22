"""Untrained but working tensors of a config: what tests run on, and what training starts from."""

from __future__ import annotations

import numpy as np

from talkingface.face.head_motion import EVENT_RATES
from talkingface.face.morphable import load_mesh478
from talkingface.face.phrases import KINDS
from talkingface.nn.speech_encoder_config import DELAYS, SpeechEncoderConfig
from talkingface.systems.portrait.config import PortraitConfig

NUM_POSE, NUM_BROW = 6, 4


def init_tensors(config: PortraitConfig) -> dict[str, np.ndarray]:
    """Arrays by name as in a weights file: random readers of the mouth, and a head that sways a little and blinks."""
    from talkingface.nn.seeding import seeded
    from talkingface.nn.speech_head import SpeechHead
    from talkingface.systems.portrait.motion.train import finished
    from talkingface.training.speech_recipe import OUTPUTS

    width = SpeechEncoderConfig().width
    with seeded(0):
        readers = {name: SpeechHead(config.speech, delay, width, OUTPUTS) for name, delay in DELAYS.items()}
    mouth = {
        f"{d}.{name}": value.numpy() for d, reader in readers.items() for name, value in reader.state_dict().items()
    }
    mouth = finished(mouth, load_mesh478(), dict.fromkeys(DELAYS, (1.0, 1.0, 1.0)))
    columns = NUM_POSE + NUM_BROW
    bump = np.hanning(25).astype(np.float32)[:, None, None]
    head = {
        "kernel": 0.01 * bump * np.eye(columns, dtype=np.float32),
        "response": np.zeros((5, columns), np.float32),
        "limit": np.full(columns, 0.1, np.float32),
        "blink": np.array([0, 0.5, 1, 1, 0.5, 0.2, 0], np.float32),
        "gestures": np.repeat(0.02 * np.hanning(30)[None, :, None], len(KINDS), axis=0).repeat(
            columns + EVENT_RATES, 2
        ),
        "chance": np.full(len(KINDS), 0.7, np.float32),
        "nod": np.repeat(0.02 * np.hanning(30)[:, None], columns, axis=1),
        "gaze": np.full(2, 0.05, np.float32),
    }
    return {f"audio2motion.{k}": v for k, v in mouth.items()} | {f"head_motion.{k}": v for k, v in head.items()}
