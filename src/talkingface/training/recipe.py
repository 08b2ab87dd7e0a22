"""What a training is: networks, phases, data and losses. The loop around it is `training.trainer.Trainer`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from talkingface.training.optim import OptimizerConfig


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a step: `networks` get gradients and are updated, all others are frozen; done every `every` steps."""

    name: str
    networks: tuple[str, ...]
    every: int = 1

    def __post_init__(self) -> None:
        if not self.networks or self.every < 1:
            raise ValueError(f"phase {self.name!r} needs at least one network, and every >= 1")


def make_rng(seed: int, step: int) -> np.random.Generator:
    """The random generator of one batch: depends on `seed` and `step` only."""
    return np.random.default_rng([seed, step])


class Recipe(ABC):
    """A training described by facts and pure functions; subclasses set the attributes and write the abstract methods.

    Example::

        class Regression(Recipe):
            name = "example.regression"
            phases = (Phase("fit", ("model",)),)
            loss_weights = {"l1": 1.0}
            optimizers = {"model": OptimizerConfig(lr=1e-3)}

            def networks(self):
                self.model = nn.Linear(4, 2)
                return {"model": self.model}

            def batch(self, step, seed):
                x = make_rng(seed, step).normal(size=(8, 4)).astype(np.float32)
                return {"x": torch.from_numpy(x), "y": torch.from_numpy(x[:, :2])}

            def losses(self, phase, batch, shared):
                return {"l1": (self.model(batch["x"]) - batch["y"]).abs().mean()}

        Trainer(Regression(), "runs/example", steps=1000).run()
    """

    name: str
    """Written into checkpoints; a checkpoint of another recipe is refused."""
    phases: tuple[Phase, ...]
    """Run in this order within a step. A tensor that a later phase needs with its graph must be made again there;
    without graph (a discriminator's fakes) it travels detached in `shared`."""
    loss_weights: Mapping[str, float]
    """Loss name -> factor. A loss without a weight raises; a weight of 0 still computes the loss, for the log."""
    optimizers: Mapping[str, OptimizerConfig] = {}
    """Network name -> optimizer; a network that is not named here gets `OptimizerConfig()`."""

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Make every network, keep references on `self`, and return them by name.

        Called once, after torch is seeded. Networks that are in no phase (a perceptual loss) are moved to the device
        and frozen, but are neither averaged nor saved.
        """

    @abstractmethod
    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """The CPU tensors of one step: a pure function of (step, seed), because resuming must repeat it exactly.

        Called ahead of time in background threads: use `make_rng(seed, step)`, never global random state, and change
        nothing on `self`. Floating-point tensors arrive in `losses` on the training device.
        """

    @abstractmethod
    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """Named scalar losses of one phase, without weights.

        `shared` is a dict that lives for one step over all its phases; it starts with "step" and "steps" (int).
        """

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Pictures uint8 [H, W, 3] by name, made with the averaged weights in evaluation mode, without gradients."""
        return {}

    def evaluate(self) -> dict[str, float]:
        """Figures on held-out data by name, under the same conditions as `preview`."""
        return {}

    def extra_state(self) -> dict[str, Any]:
        """State that `losses` changes on `self` (nested dicts and lists of numbers, strings, tensors), for resuming."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027 (optional, like the others)
        """Take back what `extra_state` gave."""


def check_recipe(recipe: Recipe, networks: Mapping[str, nn.Module]) -> None:
    """Raise ValueError if the phases and optimizers of `recipe` do not fit its `networks`."""
    if not recipe.phases:
        raise ValueError(f"recipe {recipe.name} has no phases")
    named = {n for phase in recipe.phases for n in phase.networks} | set(recipe.optimizers)
    if missing := sorted(named - set(networks)):
        raise ValueError(f"recipe {recipe.name} names networks that it does not make: {', '.join(missing)}")
    if len({phase.name for phase in recipe.phases}) != len(recipe.phases):
        raise ValueError(f"recipe {recipe.name} has two phases of one name")
