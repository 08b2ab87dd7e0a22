"""The stages `audio2motion` and `head_motion` of training `portrait`: from prepared clips to tensors."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.audio.phones import RATE_HZ, grid_sentence
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import listed_lags, manifest_rows
from talkingface.core.config import to_dict
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.state import named
from talkingface.systems.portrait.motion.augment import SPEEDS
from talkingface.systems.portrait.motion.config import MouthConfig
from talkingface.systems.portrait.motion.network import MouthNet
from talkingface.systems.portrait.motion.recipes import MouthRecipe, lip_offsets
from talkingface.systems.portrait.motion.synthetic_speech import SpokenText, read_voices, recognise, speak
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.pipeline import Stage, Trained, kept
from talkingface.training.speaking_clips import FPS, FREE_LICENCES, SpeakingClip, speaking_clips

OFFSET_STEPS = 300
SENTENCES_PER_VOICE = 200
MEMBERS = (((1.0,), 0.2), (SPEEDS, 0.3))
"""Playing speeds and dropout for each of the networks that are averaged: they should not err alike."""


def audio_stages(
    data: Path, prepared: Path, run: Path, model: LinearFaceModel, *, free_only: bool, steps: int, seed: int = 0
) -> list[Stage]:
    """The stages that train the mouth network in the folder `run`, by `training.pipeline`.

    `data` is the data folder (its manifest lists further speech), `prepared` what `training.prepare` made of it;
    `free_only` keeps public-domain and CC BY material. A short first training finds out how late each clip's
    lips are (`run`/offsets.json).
    """
    config = MouthConfig()

    @functools.cache  # read once, and only if a stage is not finished
    def material() -> tuple[list[SpeakingClip], list[list[SpokenText]]]:
        clips = list(speaking_clips(prepared, model, split="train", free_only=free_only))
        kinds = (speak(SENTENCES_PER_VOICE, seed), known_speech(data, clips, free_only), read_voices(data / "voices"))
        return clips, [texts for texts in map(list, kinds) if texts]

    def first(done: Mapping[str, Trained]) -> MouthRecipe:
        clips, spoken = material()
        return MouthRecipe(clips, spoken, model, config, late_s=listed_offsets(data, clips), copies=3, seed=seed)

    def member(number: int, speeds: tuple[float, ...], dropout: float) -> Stage:
        def make(done: Mapping[str, Trained]) -> MouthRecipe:
            clips, spoken = material()
            late_s = kept(run / "offsets.json", lambda: _own_offsets(done["offsets"], clips, model, data, config))
            options: dict[str, Any] = {"late_s": late_s, "speeds": speeds, "dropout": dropout, "seed": seed + number}
            return MouthRecipe(clips, spoken, model, config, **options)

        options = {"ema_decay": 0.995, "seed": seed + number}
        return Stage(name=f"mouth{number}", steps=steps, make=make, settings=settings, options=options)

    settings = {"config": to_dict(config), "free_only": free_only}
    offsets = Stage(name="offsets", steps=OFFSET_STEPS, make=first, settings=settings, options={"ema_decay": 0.99})
    return [offsets, *(member(k, *how) for k, how in enumerate(MEMBERS[: config.members]))]


def audio_tensors(done: Mapping[str, Trained], model: LinearFaceModel, gain: float) -> dict[str, np.ndarray]:
    """What the finished stages leave in weights, named `audio2motion.*`."""
    members = [trained.networks["mouth"] for name, trained in done.items() if name.startswith("mouth")]
    tensors = {f"{k}.{name}": value.numpy() for k, state in enumerate(members) for name, value in state.items()}
    return named("audio2motion", finished(tensors, model, gain))


def _own_offsets(
    trained: Trained, clips: Sequence[SpeakingClip], model: LinearFaceModel, data: Path, config: MouthConfig
) -> dict[str, float]:
    mouth = MouthNet(config)
    mouth.load_state_dict(trained.networks["mouth"])
    return lip_offsets(mouth, model, clips, listed_offsets(data, clips))


def listed_offsets(data: Path, clips: Sequence[SpeakingClip]) -> dict[str, float]:
    """How late each clip's lips are by the data folder's manifest (column `lag_pred`): the median of its person.

    It says where zero is: offsets that all clips share could not be found by training on them.
    """
    sure = listed_lags(data)
    return {clip.slug: sure[clip.person] for clip in clips if clip.person in sure}


def finished(tensors: dict[str, np.ndarray], model: LinearFaceModel, gain: float) -> dict[str, np.ndarray]:
    """Network tensors with what `speech.MouthShaper` needs beside them."""
    return tensors | {"measures": measure_matrix(model), "gain": np.array([gain], np.float32)}


def known_speech(data: Path, clips: Sequence[SpeakingClip], free_only: bool) -> Iterator[SpokenText]:
    """Real English speech with its phones: the sentences of GRID clips, what is recognised in other clips and in the
    speech files of the data folder."""
    rows = manifest_rows(data, split="train", language="en")
    english = {row["slug"] for row in rows if row["kind"] == "video"}
    for clip in clips:
        if clip.slug.startswith("grid_"):
            yield from recognise(clip.samples, grid_sentence(clip.slug.split("_")[-1][:6]))
        elif clip.slug in english:
            last = int(np.flatnonzero(clip.weight)[-1])  # what is held back lies at the end
            yield from recognise(clip.samples[: last * RATE_HZ // FPS])
    for row in (row for row in rows if row["kind"] == "speech"):
        if not free_only or row["licence_class"] in FREE_LICENCES:
            yield from recognise(read_audio(data / row["file"]).samples[0])
