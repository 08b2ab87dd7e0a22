"""Untrained but working general networks of a config: what tests run on."""

from __future__ import annotations

import numpy as np

from talkingface.face.head_motion import untrained_head_motion
from talkingface.nn.speech_encoder_config import SpeechEncoderConfig
from talkingface.systems.geneface.motion.config import SpeechConfig
from talkingface.systems.geneface.motion.pipeline import general_tensors

NUM_BROW = 4


def init_tensors(config: SpeechConfig) -> dict[str, np.ndarray]:
    """Arrays by name as in `geneface.general`: random readers of the mouth, and a head that sways a little."""
    from talkingface.nn.seeding import seeded
    from talkingface.nn.speech_head import SpeechHead
    from talkingface.training.speech_recipe import OUTPUTS

    width = SpeechEncoderConfig().width
    hearings = {"best": config.best, "low": config.low}
    with seeded(0):
        heads = {name: SpeechHead(how.head, how.delay, width, OUTPUTS) for name, how in hearings.items()}
    states = {name: head.state_dict() for name, head in heads.items()}
    return general_tensors(states, untrained_head_motion(NUM_BROW))
