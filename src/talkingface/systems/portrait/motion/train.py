"""What training leaves in the weights of `portrait` for its mouth: the heads that were trained with the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.quantised import quantised
from talkingface.nn.speech_encoder_config import DELAYS
from talkingface.nn.state import arrays, named
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.pipeline import Trained


def speech_tensors(
    trained: Trained, model: LinearFaceModel, gains: Mapping[str, Sequence[float]]
) -> dict[str, np.ndarray]:
    """The heads of the delays and their gains, named `audio2motion.*`."""
    heads = {delay: arrays(trained.networks[delay]) for delay in DELAYS}
    tensors = {f"{delay}.{name}": value for delay, head in heads.items() for name, value in head.items()}
    return named("audio2motion", quantised(finished(tensors, model, gains)))


def finished(
    tensors: dict[str, np.ndarray], model: LinearFaceModel, gains: Mapping[str, Sequence[float]]
) -> dict[str, np.ndarray]:
    """Tensors of heads with what `speech.MouthShaper` needs beside them."""
    by_delay = {f"gain.{delay}": np.array(gain, np.float32) for delay, gain in gains.items()}
    return tensors | {"measures": measure_matrix(model)} | by_delay
