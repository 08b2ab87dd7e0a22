"""Training of speech to motion, by tokens and by MFCC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from talkingface.face.morphable import load_mesh478
from talkingface.systems.headpose.config import AudioConfig, preset, read_config
from talkingface.systems.headpose.motion.recipe import FRAMES, ROWS, SILENT_ROWS, AudioRecipe
from talkingface.training.speaking_clips import SpeakingClip
from talkingface.training.trainer import Trainer
from voices import make_voice

PRESETS = ("tiny", "tiny_official")


def speaking_clip(slug: str, seed: int, count: int = 70) -> SpeakingClip:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 20 + 3 + 6)).astype(np.float32)
    return SpeakingClip(
        slug=slug, person=slug, samples=make_voice(count / 25), expression=rows[:, :20],
        neutral_measures=np.zeros(3, np.float32), measures=0.05 * np.abs(rows[:, 20:23]), pose=0.05 * rows[:, 23:],
        blink=np.zeros((count, 1), np.float32), gaze=np.zeros((count, 2), np.float32),
        weight=np.ones(count, np.float32),
    )  # fmt: skip


def recipe(config: AudioConfig, **options: object) -> AudioRecipe:
    clips = [speaking_clip("a", 0), speaking_clip("b", 1, 20)]
    held_out = [speaking_clip("c", 2)]
    return AudioRecipe(clips, load_mesh478(), config, late_s={"a": 0.04}, validation=held_out, copies=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PRESETS)
def test_batches_are_pure_whole_and_have_silence(name: str) -> None:
    made = recipe(preset(name).audio)
    made.networks()
    batch, again = made.batch(3, 1), made.batch(3, 1)
    assert all(torch.equal(batch[key], again[key]) for key in batch)
    assert not torch.equal(batch["inputs"], made.batch(4, 1)["inputs"])
    assert batch["weight"].shape == (ROWS, FRAMES)
    assert not batch["targets"][:SILENT_ROWS].any() and batch["weight"][:SILENT_ROWS].any()
    losses = made.losses("fit", batch, {})
    assert set(losses) == set(made.loss_weights) and all(torch.isfinite(loss) for loss in losses.values())
    assert set(made.evaluate()) == {"gap", "width", "jaw"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_fit_leaves_what_was_learned_from_many_voices(name: str, tmp_path: Path) -> None:
    config = preset(name).audio
    general = recipe(config).networks()["audio"].state_dict()
    start = {key: value.clone() for key, value in general.items()}
    trainer = Trainer(recipe(config, start=start, narrow=True), tmp_path, steps=2, device="cpu", ema_decay=None)
    trainer.run()
    moved = {k for k, v in trainer.networks["audio"].state_dict().items() if not torch.equal(v, start[k])}
    first, last = ("pool.weight", "head.weight") if config.encoder else ("audio_eocder.0.0.weight", "lstm_fc.0.weight")
    assert last in moved and first not in moved


def test_cards_of_before_there_was_a_speech_encoder_hear_mfcc() -> None:
    stored = {"audio": {"channels": [4] * 5, "hidden_fc": 8, "hidden": 8, "layers": 1, "expression": 16}}
    assert read_config(stored).audio.encoder == ""
    assert preset("compact").audio.encoder == "speech_encoder.v1"
