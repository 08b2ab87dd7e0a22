"""The weights `speech_encoder.*`: the first layers of Whisper, trained on, with limited attention, for mouths.

`v1` learned from all clips; `clean` from the public-domain and CC BY ones alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.audio.speech_encoder import KIND
from talkingface.clips.manifest import prepared_clips
from talkingface.core.config import to_dict
from talkingface.core.errors import InputError, WeightsError
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.morphable import load_mesh478
from talkingface.nn.quantised import dequantised, quantised
from talkingface.nn.speech_encoder_config import DELAYS, SpeechEncoderConfig, SpeechHeadConfig
from talkingface.nn.state import arrays, named, tensors_of
from talkingface.training.pipeline import (
    FREE,
    RESEARCH,
    Stage,
    State,
    Trained,
    held_back_of,
    kept,
    make_card,
    run_stages,
    save_made,
)
from talkingface.training.prepare import prepare_data
from talkingface.training.speaking_clips import FREE_LICENCES
from talkingface.training.speech_material import SpeechMaterial, lip_offsets
from talkingface.training.speech_recipe import SpeechRecipe

START = "speech_encoder.start"
OFFSET_STEPS, SEED = 250, 1
STEPS = {"v1": 2000, "clean": 600}
HEAD_STEPS = {"v1": 600, "clean": 400}
HEAD_DROPOUT = 0.4
"""Heads learn within a minute; after that they learn the people."""


def encoder_state(name: str | Path) -> State:
    """The state of the encoder in weights, for training. Raises WeightsError."""
    return _state(load_weights(find_weights(name)).tensors)


def _state(tensors: Mapping[str, np.ndarray]) -> State:
    return tensors_of(named("encoder", dequantised(tensors)), "encoder")


def start_state(folder: Path) -> State:
    """Whisper's layers as `scripts/take_speech_encoder.py` left them in `folder`/weights or the store.

    Raises InputError that says how to get them.
    """
    own = folder / "weights" / START
    try:
        return encoder_state(own if own.is_dir() else START)
    except WeightsError as error:
        raise InputError(f"no {START}; make it with scripts/take_speech_encoder.py ... -o {own}") from error


def offset_stage(material: SpeechMaterial, start: State) -> Stage:
    """A short training of a head alone, which finds out how late each clip's lips are."""

    def make(done: Mapping[str, Trained]) -> SpeechRecipe:
        spoken, late_s = material.spoken, material.listed_offsets
        options = {"train_encoder": False, "delays": {"best": DELAYS["best"]}, "copies": 2, "seed": material.seed}
        return SpeechRecipe(
            material.clips, spoken, material.model, SpeechEncoderConfig(), SpeechHeadConfig(), start=start,
            late_s=late_s, **options,
        )  # fmt: skip

    return Stage(name="offsets", steps=OFFSET_STEPS, make=make, options={"ema_decay": 0.98})


def own_offsets(done: Mapping[str, Trained], material: SpeechMaterial, start: State, path: Path) -> dict[str, float]:
    """How late each clip's lips are by the stage `offsets`, kept in `path`."""

    def find() -> dict[str, float]:
        configs = SpeechEncoderConfig(), SpeechHeadConfig()
        recipe = SpeechRecipe(
            [], [], material.model, *configs, start=start, late_s={}, delays={"best": DELAYS["best"]}, copies=0
        )  # fmt: skip
        networks = recipe.networks()
        networks["best"].load_state_dict(done["offsets"].networks["best"])
        for network in networks.values():
            network.eval()
        return lip_offsets(recipe, material.clips, material.listed_offsets)

    return kept(path, find)


def train_encoder(data: Path, folder: Path, tag: str) -> dict[str, Trained]:
    """Train the encoder `tag` in `folder`/speech_encoder/`tag`, then heads for it, or read what is finished there.

    The stage `encoder` gives the encoder; the heads that were trained along with it saw short cuts of a moving target.
    Those of the stage `heads`, one for each delay, are what to use: they learn from the finished encoder in eight bits.
    """
    start, run = start_state(folder), folder / "speech_encoder" / tag
    prepared, model = prepare_data(data, folder), load_mesh478()
    material = SpeechMaterial(data, prepared, model, tag == "clean", SEED)

    def recipe(done: Mapping[str, Trained], state: State, train_encoder: bool, **options: Any) -> SpeechRecipe:
        late_s = own_offsets(done, material, start, run / "offsets.json")
        return SpeechRecipe(
            material.clips, material.spoken, model, SpeechEncoderConfig(), SpeechHeadConfig(), start=state,
            late_s=late_s, train_encoder=train_encoder, validation=material.validation, seed=SEED, **options,
        )  # fmt: skip

    def finished(done: Mapping[str, Trained]) -> State:
        return _state(quantised(arrays(done["encoder"].networks["encoder"])))

    def heads(done: Mapping[str, Trained]) -> SpeechRecipe:
        return recipe(done, finished(done), False, dropout=HEAD_DROPOUT)

    options = {"ema_decay": 0.995, "evaluate_every": 200}
    stages = [
        offset_stage(material, start),
        Stage(name="encoder", steps=STEPS[tag], make=lambda done: recipe(done, start, True), options=options),
        Stage(name="heads", steps=HEAD_STEPS[tag], make=heads, options=options),
    ]
    return run_stages(run, stages, seed=SEED, device="cpu")


def make_weights(data: Path, folder: Path, tag: str = "v1") -> Path:
    """Every stage from the data folder to `speech_encoder.<tag>`; stages finished in `folder` are skipped."""
    done = train_encoder(data, folder, tag)
    prepared, free_only = prepare_data(data, folder), tag == "clean"
    clips = [clip for clip in prepared_clips(prepared, "train") if clip.speaks]
    if free_only:
        clips = [clip for clip in clips if clip.licence_class in FREE_LICENCES]
    card = make_card(
        f"{KIND}.{tag}",
        done,
        terms=FREE if free_only else RESEARCH,
        data=f"{len(clips)} {'public-domain and CC BY' if free_only else 'speaking'} train clips of "
        f"{len({clip.identity for clip in clips})} people; synthetic speech of known phones",
        held_back=held_back_of(prepared_clips(prepared)),
        seed=SEED,
        config=to_dict(SpeechEncoderConfig()),
        kind=KIND,
        origin="first layers of OpenAI's Whisper tiny.en (MIT), trained on by the talkingface project",
        paper="Radford et al. 2022 (Whisper)",
    )
    return save_made(folder, quantised(arrays(done["encoder"].networks["encoder"])), card)


def make_clean(data: Path, folder: Path) -> Path:
    """`make_weights` of `speech_encoder.clean`."""
    return make_weights(data, folder, "clean")
