"""The trainings of `meter`: a gain that makes loud as tall as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from meter_system.config import MeterConfig
from talkingface.training.pipeline import Stage, Terms, make_card, run_stages, save_made
from talkingface.training.recipe import Phase, Recipe, make_rng

STEPS = 2


class GainRecipe(Recipe):
    """One number is learned."""

    name = "meter.gain"
    phases = (Phase("fit", ("gain",)),)
    loss_weights = {"l1": 1.0}

    def networks(self) -> dict[str, nn.Module]:
        self.gain = nn.Linear(1, 1, bias=False)
        return {"gain": self.gain}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        return {"level": torch.from_numpy(make_rng(seed, step).random((4, 1), "float32"))}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        return {"l1": (self.gain(batch["level"]) - 0.5 * batch["level"]).abs().mean()}


def train_none(data: Path, folder: Path) -> Path:
    """From a data folder to `meter.none`."""
    done = run_stages(folder, [Stage(name="gain", steps=STEPS, make=lambda _: GainRecipe())], seed=0, device="cpu")
    terms = Terms("CC0-1.0", "any use")
    card = make_card("meter.none", done, terms=terms, data=str(data), held_back="nothing", config=MeterConfig(),
                     system="meter")  # fmt: skip
    return save_made(folder, {"gain": done["gain"].networks["gain"]["weight"].numpy()}, card)


RECIPES = {"gain": lambda config, data: GainRecipe()}
PIPELINES = {"none": train_none}
