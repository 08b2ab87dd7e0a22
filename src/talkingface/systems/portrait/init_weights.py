"""Untrained but working tensors of a config: what tests run on, and what training starts from."""

from __future__ import annotations

import numpy as np

from talkingface.face.head_motion import untrained_head_motion
from talkingface.face.morphable import load_mesh478
from talkingface.nn.speech_encoder_config import DELAYS, SpeechEncoderConfig
from talkingface.systems.portrait.config import PortraitConfig

NUM_BROW = 4


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
    head = untrained_head_motion(NUM_BROW)
    return {f"audio2motion.{k}": v for k, v in mouth.items()} | {f"head_motion.{k}": v for k, v in head.items()}
