"""The stages of training what `portrait` reads off the speech encoder: from prepared clips to tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from talkingface.core.config import to_dict
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.quantised import quantised
from talkingface.nn.speech_encoder_config import SpeechEncoderConfig
from talkingface.nn.state import arrays, named
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.pipeline import Stage, State, Trained
from talkingface.training.speech_encoder import offset_stage, own_offsets
from talkingface.training.speech_material import SpeechMaterial
from talkingface.training.speech_recipe import SpeechRecipe


def speech_stages(
    material: SpeechMaterial, run: Path, encoder: State, config: PortraitConfig, *, steps: int
) -> list[Stage]:
    """The stages that train the heads in the folder `run`, by `training.pipeline`; the encoder stays as it is.

    A short first training finds out how late each clip's lips are (`run`/offsets.json).
    """

    def make(done: Mapping[str, Trained]) -> SpeechRecipe:
        late_s = own_offsets(done, material, encoder, run / "offsets.json")
        return SpeechRecipe(
            material.clips(), material.spoken(), material.model, SpeechEncoderConfig(), config.speech, start=encoder,
            late_s=late_s, train_encoder=False, validation=material.validation(), seed=material.seed,
        )  # fmt: skip

    settings = {"config": to_dict(config.speech), "encoder": config.encoder, "free_only": material.free_only}
    options = {"ema_decay": 0.995, "evaluate_every": 500}
    return [
        offset_stage(material, encoder),
        Stage(name="speech", steps=steps, make=make, settings=settings, options=options),
    ]


def speech_tensors(done: Mapping[str, Trained], model: LinearFaceModel, gain: Sequence[float]) -> dict[str, np.ndarray]:
    """What the finished stages leave in weights, named `audio2motion.*`."""
    heads = done["speech"].networks
    tensors = {f"{delay}.{name}": value for delay in heads for name, value in arrays(heads[delay]).items()}
    return named("audio2motion", quantised(finished(tensors, model, gain)))


def finished(tensors: dict[str, np.ndarray], model: LinearFaceModel, gain: Sequence[float]) -> dict[str, np.ndarray]:
    """Tensors of heads with what `speech.MouthShaper` needs beside them."""
    return tensors | {"measures": measure_matrix(model), "gain": np.array(gain, np.float32)}
