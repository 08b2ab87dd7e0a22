"""Training of the published generators, on many people or one: `UNetAdaIN` with its memory (2020), `UNetAC` (2022).

Steps, losses and weights are the published ones (sections 3.4 and 4 of the 2020 paper). The original went on from
general networks. A generator that begins anew differs in three points: its AdaIN scales begin at one, not near zero;
without ImageNet weights the query's ResNet is trained too; and its first steps show colours without the mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.person.stages import psnr_db
from talkingface.systems.headpose.config import RendererConfig
from talkingface.systems.headpose.official.convert import load_into
from talkingface.systems.headpose.official.data import Pairs
from talkingface.systems.headpose.official.memory import MemoryBank, make_query
from talkingface.systems.headpose.official.networks import (
    HISTORY,
    Discriminator,
    GeneratorOutput,
    UNetAdaIN,
    init_published,
    make_generator,
    to_bytes,
    to_signed,
)
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

# Published weight of the mask in general training; `RendererConfig.loss_weights` holds that of fine-tuning.
GENERAL_MASK = 0.1
# Published weights of `discriminator_losses`.
DISCRIMINATOR_WEIGHTS = {"discriminator_fake": 0.5, "discriminator_real": 0.5}
# Training pictures are enlarged by this factor and cut back to their size at a random place, as published.
ENLARGED = 286 / 256
FRESH_LR, TUNED_LR = 2e-4, 1e-4  # published learning rates of general training and of fine-tuning
# Share and number of the first steps of a new generator that show its colours alone, whichever is less. Composites of
# 30 dB beat any early colour: with the mask from the first step on, as published, it stood at 0.98 over the open mouth
# after 97 steps of four pictures, and the colours behind it had no gradient.
UNMASKED_SHARE, UNMASKED_STEPS = 0.25, 400
# Of a loss on a new generator's colours alone, a quarter of the picture's, for pixels that the mask hides. In small,
# 126 steps with it gave colours 8.4 levels from held-out frames, 200 steps without it 9.1.
COLOUR_WEIGHT = 25.0
EVALUATED = 24  # held-out frames that figures are taken from while training
SHOWN = 6
_CHUNK = 4  # held-out frames that go through the network at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialNetworks:
    """Networks to go on from: state dicts, and a bank whose slots are other people's. None: made anew."""

    renderer: Mapping[str, Tensor] | None = None
    discriminator: Mapping[str, Tensor] | None = None
    query: Mapping[str, Tensor] | None = None
    bank: MemoryBank | None = None


class GeneratorRecipe(Recipe):
    """`pairs` to train on with unit `features` float32 [N, F] of their true faces (adain), and `held_out` for figures.

    `general`: the stage on many people, whose learning rate is held for half of the steps before it falls, and whose
    mask costs less; otherwise one person's. Training writes the bank, which checkpoints keep as `extra_state`.
    """

    def __init__(
        self,
        pairs: Pairs,
        config: RendererConfig,
        *,
        features: np.ndarray | None = None,
        held_out: Pairs | None = None,
        batch_size: int = 1,
        initial: InitialNetworks | None = None,
        general: bool = False,
    ) -> None:
        if config.kind == "adain" and features is None:
            raise ValueError("a generator with a memory needs features of the true faces")
        self._pairs, self._config, self._features, self._held_out = pairs, config, features, held_out
        self._batch_size, self._initial = batch_size, initial or InitialNetworks()
        self._history = pairs.history()
        self.name = f"headpose.{config.kind}"
        # the memory is written in the discriminator's phase, after the query network was updated, as published
        phases = [Phase("discriminator", ("discriminator",)), Phase("generator", ("renderer",))]
        self.phases = (Phase("memory", ("query",)), *phases) if self._has_memory else tuple(phases)
        self.loss_weights = {**DISCRIMINATOR_WEIGHTS, **config.loss_weights}
        if self._has_memory:
            self.loss_weights["memory"] = 1.0
        fresh = self._initial.renderer is None
        if fresh:
            self.loss_weights["colour"] = COLOUR_WEIGHT
        one = OptimizerConfig(
            lr=FRESH_LR if fresh else TUNED_LR, betas=(0.5, 0.999), warmup_steps=0, final_ratio=0.05 if fresh else 1.0
        )
        if general:
            self.loss_weights["mask"] = GENERAL_MASK
            one = replace(one, hold=0.5, final_ratio=0.0)
        self.optimizers = {name: one for phase in self.phases for name in phase.networks}

    @property
    def _has_memory(self) -> bool:
        return self._config.kind == "adain"

    def networks(self) -> dict[str, nn.Module]:
        """The generator and the discriminator; with a memory also the query network."""
        initial = self._initial
        self.renderer = make_generator(self._config)
        self.discriminator = Discriminator(3 * HISTORY + 3, self._config.discriminator_width)
        networks: dict[str, nn.Module] = {"renderer": self.renderer, "discriminator": self.discriminator}
        _start(self.renderer, initial.renderer, "the generator to begin with")
        _start(self.discriminator, initial.discriminator, "the discriminator to begin with")
        if isinstance(self.renderer, UNetAdaIN) and initial.renderer is None:
            scales_to_one(self.renderer)
        if self._has_memory:
            self.query = networks["query"] = make_query(self._config)
            if initial.query is None:
                self.query.requires_grad_(True)  # its ResNet is random: no ImageNet weights were imported
            else:
                load_into(self.query, initial.query, "the query network to begin with")
            self.bank = initial.bank or MemoryBank.make(
                self._config.memory_slots, query=self._config.feature, feature=self._config.feature
            )
            self.bank.own[:] = False
        return networks

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Composites t-2, t-1, t uint8 [B, 9, S, S], truth [B, 3, S, S], feature [B, F], number of the frame [B]."""
        rng = make_rng(seed, step)
        rows = rng.integers(len(self._pairs), size=self._batch_size)
        pictures = []
        for row in rows:
            images = [*self._pairs.composites[self._history[row]], self._pairs.truths[row]]
            pictures.append(augmented(images, rng, self._config.mirror))
        both = torch.from_numpy(np.stack(pictures))
        batch = {"frames": both[:, :-3], "truth": both[:, -3:], "index": torch.from_numpy(self._pairs.numbers[rows])}
        if self._features is not None:
            batch["feature"] = torch.from_numpy(self._features[rows])
        return batch

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        if "frames" not in shared:
            shared["frames"], shared["truth"] = to_signed(batch["frames"]), to_signed(batch["truth"])
        frames, truth, feature = shared["frames"], shared["truth"], batch.get("feature")
        if phase == "memory":
            assert feature is not None
            self.bank = self.bank.to(frames.device)
            query = self.query(frames[:, -3:]).float()
            with torch.autocast(frames.device.type, enabled=False):  # `SAME_IDENTITY` is decided in the third digit
                return {"memory": self.bank.loss(query, feature)}
        if phase == "discriminator":
            if feature is not None:
                self._write(frames, feature, batch["index"])
            with torch.no_grad():
                fake = self._generate(frames, feature, shared).picture
            return discriminator_losses(self.discriminator, frames, truth, fake)
        output = self._generate(frames, feature, shared)
        losses = generator_losses(self.discriminator, frames, truth, output.picture, output.mask)
        if self._initial.renderer is None:
            losses["colour"] = functional.l1_loss(output.colour, truth)
        # a sum whose weight was published for one picture a step
        return {**losses, "mask_smoothness": losses["mask_smoothness"] / len(frames)}

    def _generate(
        self, frames: Tensor, feature: Tensor | None, shared: Mapping[str, Any] | None = None
    ) -> GeneratorOutput:
        """The generator's output in single precision; in training, `shared` holds the number of the step."""
        output = self.renderer(frames) if feature is None else self.renderer(frames, feature)
        output = GeneratorOutput(*(part.float() for part in output))
        if shared is None or self._initial.renderer is not None:
            return output
        if shared["step"] >= min(UNMASKED_STEPS, int(UNMASKED_SHARE * shared["steps"])):
            return output
        return GeneratorOutput(output.colour, torch.zeros_like(output.mask), output.colour)

    @torch.no_grad()
    def _write(self, frames: Tensor, feature: Tensor, index: Tensor) -> None:
        """Write the batch into the memory."""
        query = self.query(frames[:, -3:]).float()
        with torch.autocast(frames.device.type, enabled=False):
            self.bank.update(query, feature, index)

    def extra_state(self) -> dict[str, Any]:
        """The bank."""
        return {"bank": self.bank.state()} if self._has_memory else {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """See `Recipe.load_extra_state`."""
        if self._has_memory:
            self.bank = MemoryBank(**state["bank"])

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB over the view of held-out frames, of the generated pictures and of their composites."""
        if self._held_out is None:
            return {}
        rows = np.unique(np.linspace(0, len(self._held_out) - 1, EVALUATED).astype(int))
        truths = self._held_out.truths[rows]
        made = np.stack(self.generated(self._held_out, rows))
        return {"view_db": psnr_db(made, truths), "composite_db": psnr_db(self._held_out.composites[rows], truths)}

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Composite, result and truth of held-out frames, one below the other."""
        if self._held_out is None:
            return {}
        rows = np.linspace(0, len(self._held_out) - 1, SHOWN).astype(int)
        made = np.stack(self.generated(self._held_out, rows))
        columns = np.concatenate([self._held_out.composites[rows], made, self._held_out.truths[rows]], axis=1)
        return {"faces": np.concatenate(list(columns), axis=1)}

    def generated(self, pairs: Pairs, rows: np.ndarray) -> list[np.ndarray]:
        """Generated pictures of some frames, with retrieved features: uint8 [S, S, 3] each."""
        device = next(self.renderer.parameters()).device
        history = pairs.history()
        found: list[np.ndarray] = []
        for first in range(0, len(rows), _CHUNK):
            stacked = np.concatenate(np.moveaxis(pairs.composites[history[rows[first : first + _CHUNK]]], 1, 0), -1)
            frames = to_signed(torch.from_numpy(stacked).permute(0, 3, 1, 2).to(device))
            feature = None
            if self._has_memory:
                feature = self.bank.to(str(device)).retrieve(self.query(frames[:, -3:])).feature[:, 0]
            found += list(to_bytes(self._generate(frames, feature).picture))
        return found


def scales_to_one(network: UNetAdaIN) -> None:
    """Make the style begin with scales of one, in place. The published start, deviations of 0.02 around zero, relies on
    the general weights that the original went on from; without them a network stays dark for long."""
    last = network.mlp.model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        for _, scale in network.split_style(last.bias[None]).values():
            scale += 1.0


def augmented(images: list[np.ndarray], rng: np.random.Generator, mirror: bool) -> np.ndarray:
    """Pictures uint8 [S, S, 3] of one sample, enlarged, cut at one random place, perhaps mirrored: [3 n, S, S]."""
    side = images[0].shape[0]
    large = round(side * ENLARGED)
    x, y = rng.integers(large - side + 1, size=2)
    cut = [
        cv2.resize(image, (large, large), interpolation=cv2.INTER_LANCZOS4)[y : y + side, x : x + side]
        for image in images
    ]
    joined = np.concatenate(cut, axis=2)
    if mirror and rng.random() < 0.5:
        joined = joined[:, ::-1]
    return np.ascontiguousarray(joined.transpose(2, 0, 1))


def _start(network: nn.Module, state: Mapping[str, Tensor] | None, what: str) -> None:
    if state is None:
        init_published(network)
    else:
        load_into(network, state, what)


def discriminator_losses(discriminator: nn.Module, frames: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """The discriminator's losses: logistic, of (`frames`, `fake`) as false and (`frames`, `real`) as true.

    `frames` are the generator's inputs [B, 9, H, W]; no gradient reaches `fake`. The order, fake before real, is the
    original's: it decides what the running statistics of batch normalisation end as.
    """
    scores_fake = discriminator(torch.cat([frames, fake.detach()], 1))
    scores_real = discriminator(torch.cat([frames, real], 1))
    return {
        "discriminator_fake": logistic_loss(scores_fake, False),
        "discriminator_real": logistic_loss(scores_real, True),
    }


def generator_losses(
    discriminator: nn.Module, frames: Tensor, real: Tensor, fake: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """The generator's losses: adversarial, mean distance from the `real` picture, and mean and total variation of the
    `mask` [B, 1, H, W]."""
    return {
        "adversarial": logistic_loss(discriminator(torch.cat([frames, fake], 1)), True),
        "picture": functional.l1_loss(fake, real),
        "mask": mask.mean(),
        "mask_smoothness": total_variation(mask),
    }


def logistic_loss(scores: Tensor, real: bool) -> Tensor:
    """Mean binary cross entropy of raw scores whose label is `real`."""
    return functional.softplus(-scores if real else scores).mean()


def total_variation(pictures: Tensor) -> Tensor:
    """Sum of absolute differences of neighbours in x and y, over pixels, channels and batch: [B, C, H, W] -> scalar."""
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().sum()
    return across + (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().sum()
