"""What training leaves in the weights of `portrait` for its mouth: the heads that were trained with the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.quantised import quantised
from talkingface.nn.speech_encoder_config import DELAYS
from talkingface.nn.state import arrays, named
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.pipeline import Trained


def speech_tensors(trained: Trained, model: LinearFaceModel, gain: Sequence[float]) -> dict[str, np.ndarray]:
    """The heads of the delays, named `audio2motion.*`."""
    heads = {delay: arrays(trained.networks[delay]) for delay in DELAYS}
    tensors = {f"{delay}.{name}": value for delay, head in heads.items() for name, value in head.items()}
    return named("audio2motion", quantised(finished(tensors, model, gain)))


def finished(tensors: dict[str, np.ndarray], model: LinearFaceModel, gain: Sequence[float]) -> dict[str, np.ndarray]:
    """Tensors of heads with what `speech.MouthShaper` needs beside them."""
    return tensors | {"measures": measure_matrix(model), "gain": np.array(gain, np.float32)}
