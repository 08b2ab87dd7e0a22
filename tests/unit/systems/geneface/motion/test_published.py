"""Trainings of the published networks: what is frozen stays as it is, wrong pairs come from other speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from talkingface.systems.geneface.motion import published
from talkingface.systems.geneface.motion.published import MotionRecipe, PostnetRecipe, SpokenMotion, SyncRecipe
from talkingface.systems.geneface.official.audio2motion import AudioToMotion, FlowSizes
from talkingface.systems.geneface.official.syncnet import LandmarkSyncNet
from talkingface.training.trainer import Trainer

WIDTH = 6
SIZES = {"width": 8, "encoder_layers": 1, "decoder_layers": 1, "flow": FlowSizes(couplings=2, hidden=4, layers=1)}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "PAIRS", 6)
    monkeypatch.setattr(published, "ROWS", 4)
    monkeypatch.setattr(published, "FRAMES", 16)
    monkeypatch.setattr(published, "SYNC_ON", np.inf)


def clips(speakers: int = 3) -> list[SpokenMotion]:
    rng = np.random.default_rng(0)
    return [
        SpokenMotion(
            speaker=k,
            tokens=np.full((80, WIDTH), k, np.float16),
            f0=np.full(80, 120.0, np.float32),
            landmarks=(k + 0.1 * rng.normal(size=(40, 204))).astype(np.float32),
            weight=np.ones(40, np.float32),
        )
        for k in range(speakers)
    ]


def copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(before: dict[str, torch.Tensor], network: torch.nn.Module) -> bool:
    return all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_speech_of_wrong_pairs_comes_from_other_speakers() -> None:
    batches = [SyncRecipe(clips()).batch(step, 1) for step in range(60)]
    wrong = [
        (float(speech[0, 0]), round(float(mouth.mean())))
        for batch in batches
        for speech, mouth, label in zip(batch["speech"], batch["mouths"], batch["labels"], strict=True)
        if not label
    ]
    foreign = [speech != mouth for speech, mouth in wrong]
    assert 0.1 < np.mean(foreign) < 0.45
    right = [b["speech"][k, 0, 0] == b["mouths"][k].mean().round() for b in batches for k in range(6) if b["labels"][k]]
    assert all(right)


def test_the_sync_expert_learns(tmp_path: Path) -> None:
    outcome = Trainer(SyncRecipe(clips(), clips()), tmp_path, steps=2, evaluate_every=1, device="cpu").run()
    assert set(outcome.metrics) == {"sync_loss", "right"}


def test_the_expert_stays_frozen_while_motion_is_learned(tmp_path: Path) -> None:
    expert = LandmarkSyncNet(audio=WIDTH)
    recipe = MotionRecipe(clips(), expert.state_dict(), validation=clips(), **SIZES)
    before = copied(expert)
    trainer = Trainer(recipe, tmp_path, steps=4, evaluate_every=1, device="cpu")
    trainer.run()
    assert recipe._sync_on and not recipe.sync.training
    assert same(before, recipe.sync)
    again = Trainer(MotionRecipe(clips(), expert.state_dict(), validation=clips(), **SIZES), tmp_path, steps=5)
    assert again.recipe._sync_on  # type: ignore[attr-defined]


def test_padding_counts_for_nothing(tmp_path: Path) -> None:
    recipe = MotionRecipe(clips(), None, **SIZES)
    torch.manual_seed(0)
    recipe.networks()
    recipe.motion.eval()
    batch = recipe.batch(0, 1)
    batch["mask"][:, 8:] = 0
    with torch.no_grad():
        first = recipe.losses("fit", batch, {"step": 0})
        batch["landmarks"][:, 12:] += 100
        second = recipe.losses("fit", batch, {"step": 0})
    assert float(first["mse"]) == pytest.approx(float(second["mse"]), rel=1e-5)
    assert float(first["continuity"]) == pytest.approx(float(second["continuity"]), rel=1e-5)


def test_general_networks_stay_frozen_while_the_adapter_is_learned(tmp_path: Path) -> None:
    general, expert = AudioToMotion(WIDTH, pitch=True, **SIZES), LandmarkSyncNet(audio=WIDTH)
    people = clips()
    recipe = PostnetRecipe(people[:2], people[2], general.state_dict(), expert.state_dict(), test=people[2], **SIZES)
    before = copied(general), copied(expert)
    trainer = Trainer(recipe, tmp_path, steps=2, evaluate_every=1, device="cpu", ema_decay=None)
    start = copied(recipe.postnet)
    outcome = trainer.run()
    assert same(before[0], recipe.general) and same(before[1], recipe.sync)
    assert not recipe.general.training and not recipe.sync.training
    assert not same(start, recipe.postnet)
    assert outcome.metrics["mse"] > 0 and {"judged_made", "judged_real", "sync"} <= set(outcome.metrics)
    assert recipe.optimizers["postnet"].lr == 1e-4  # not the general network's
