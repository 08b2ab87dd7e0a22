"""The stages `audio2motion` and `head_motion` of training `portrait`: from prepared clips to tensors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.audio.phones import RATE_HZ, grid_sentence
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import listed_lags, manifest_rows
from talkingface.core.cache import write_atomic
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.portrait.motion.augment import SPEEDS
from talkingface.systems.portrait.motion.config import MouthConfig
from talkingface.systems.portrait.motion.recipes import MouthRecipe, lip_offsets
from talkingface.systems.portrait.motion.synthetic_speech import SpokenText, recognise, speak
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.speaking_clips import FPS, FREE_LICENCES, SpeakingClip, speaking_clips
from talkingface.training.trainer import Trainer

OFFSET_STEPS = 300
SENTENCES_PER_VOICE = 200
MEMBERS = (((1.0,), 0.2), (SPEEDS, 0.3))
"""Playing speeds and dropout for each of the networks that are averaged: they should not err alike."""


def train_audio2motion(
    data: Path,
    prepared: Path,
    run: Path,
    model: LinearFaceModel,
    *,
    free_only: bool,
    steps: int,
    gain: float,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Train the mouth network in the folder `run` and return its tensors, named `audio2motion.*`.

    `data` is the data folder (its manifest lists further speech), `prepared` what `training.prepare` made of it;
    `free_only` keeps public-domain and CC BY material. A short first training finds out how late each clip's
    lips are (`run`/offsets.json). Both trainings resume.
    """
    config = MouthConfig()
    clips = list(speaking_clips(prepared, model, split="train", free_only=free_only))
    spoken = [list(speak(SENTENCES_PER_VOICE, seed)), list(known_speech(data, clips, free_only))]
    path = run / "offsets.json"
    if not path.is_file():
        listed = listed_offsets(data, clips)
        recipe = MouthRecipe(clips, spoken, model, config, late_s=listed, copies=3, seed=seed)
        trainer = Trainer(recipe, run / "offsets", steps=OFFSET_STEPS, seed=seed, device="cpu", ema_decay=0.99)
        trainer.run()
        recipe.mouth.load_state_dict(trainer.averaged()["mouth"])
        with write_atomic(path) as file:
            file.write(json.dumps(lip_offsets(recipe, clips, listed)).encode())
    late_s = json.loads(path.read_text())
    tensors = {}
    for k, (speeds, dropout) in enumerate(MEMBERS[: config.members]):
        options: dict[str, Any] = {"late_s": late_s, "speeds": speeds, "dropout": dropout, "seed": seed + k}
        recipe = MouthRecipe(clips, spoken, model, config, **options)
        trainer = Trainer(recipe, run / f"mouth{k}", steps=steps, seed=seed + k, device="cpu", ema_decay=0.995)
        trainer.run()
        tensors |= {f"{k}.{name}": value.numpy() for name, value in trainer.averaged()["mouth"].items()}
    return {f"audio2motion.{name}": value for name, value in finished(tensors, model, gain).items()}


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
