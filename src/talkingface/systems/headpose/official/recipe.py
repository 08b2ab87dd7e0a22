"""Training of the published generators, on many people or one: `UNetAdaIN` with its memory (2020), `UNetAC` (2022).

Steps, losses and weights are the published ones (sections 3.4 and 4 of the paper). What differs, because the original
went on from general networks that few have: without them the AdaIN scales begin at one rather than near zero; without
ImageNet weights the query's ResNet learns too; and a new generator learns colours before it may hide them.
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

from talkingface.systems.headpose.config import RendererConfig
from talkingface.systems.headpose.official.convert import load_into
from talkingface.systems.headpose.official.data import HISTORY, Pairs
from talkingface.systems.headpose.official.discriminator import Discriminator
from talkingface.systems.headpose.official.initial import init_published
from talkingface.systems.headpose.official.losses import GENERAL_MASK, JUDGE_WEIGHTS, judge_losses, paint_losses
from talkingface.systems.headpose.official.memory import MemoryBank, QueryNet
from talkingface.systems.headpose.official.networks import Painted, UNetAC, UNetAdaIN
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

ENLARGED = 286 / 256
"""Training pictures are enlarged so much, and cut to their size at a random place."""
FRESH_LR, TUNED_LR = 2e-4, 1e-4
"""Published learning rates of general training and of fine-tuning."""
UNMASKED_SHARE, UNMASKED_STEPS = 0.25, 400
"""Share and number of the first steps of a new generator that show its colours alone, whichever is less: our composites
beat any early colour, the mask would shut over them, and colours behind it learn nothing, in the mouth neither."""
COLOUR_WEIGHT = 25.0
"""Of a new generator's colours by themselves, so that they stay worth showing where the mask hides them."""
EVALUATED = 24
"""Held-out frames that figures are taken from while training."""
SHOWN = 6
_CHUNK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Networks to go on from: state dicts, and a general bank, whose slots are other people's. None: made anew."""

    renderer: Mapping[str, Tensor] | None = None
    judge: Mapping[str, Tensor] | None = None
    query: Mapping[str, Tensor] | None = None
    bank: MemoryBank | None = None


class ClassicRecipe(Recipe):
    """`pairs` to learn from with unit `features` float32 [N, F] of their true faces (adain), `held_out` to judge by.

    `general`: the stage on many people, whose learning rate is held for half of the steps before it falls, and whose
    mask is freer; otherwise one person's.

    The bank is written in training, beside the networks; it is kept by checkpoints as `extra_state`.
    """

    def __init__(
        self,
        pairs: Pairs,
        config: RendererConfig,
        *,
        features: np.ndarray | None = None,
        held_out: Pairs | None = None,
        batch_size: int = 1,
        begin: Begin | None = None,
        general: bool = False,
    ) -> None:
        if config.kind == "adain" and features is None:
            raise ValueError("the generator with a memory needs features of the true faces")
        self._pairs, self._config, self._features, self._held_out = pairs, config, features, held_out
        self._batch_size, self._begin = batch_size, begin or Begin()
        self._history = pairs.history()
        self.name = f"headpose.{config.kind}"
        phases = [Phase("judge", ("judge",)), Phase("paint", ("renderer",))]
        self.phases = (Phase("memory", ("query",)), *phases) if self._has_memory else tuple(phases)
        self.loss_weights = {**JUDGE_WEIGHTS, **config.loss_weights} | ({"memory": 1.0} if self._has_memory else {})
        fresh = self._begin.renderer is None
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
        """The generator and its judge; with a memory also the query network."""
        begin = self._begin
        self.renderer = make_generator(self._config)
        self.judge = Discriminator(3 * HISTORY + 3, self._config.judge_width)
        networks: dict[str, nn.Module] = {"renderer": self.renderer, "judge": self.judge}
        _start(self.renderer, begin.renderer, "the generator to begin with")
        _start(self.judge, begin.judge, "the judge to begin with")
        if isinstance(self.renderer, UNetAdaIN) and begin.renderer is None:
            scales_to_one(self.renderer)
        if self._has_memory:
            self.query = networks["query"] = make_query(self._config)
            if begin.query is None:
                self.query.requires_grad_(True)  # nothing outside taught its ResNet to see
            else:
                load_into(self.query, begin.query, "the query network to begin with")
            self.bank = begin.bank or MemoryBank.make(
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
            with torch.autocast(frames.device.type, enabled=False):  # who is the same is decided in the third digit
                return {"memory": self.bank.loss(query, feature)}
        if phase == "judge":
            if feature is not None:
                self._write(frames, feature, batch["index"])
            with torch.no_grad():
                fake = self._paint(frames, feature, shared).picture
            return judge_losses(self.judge, frames, truth, fake)
        painted = self._paint(frames, feature, shared)
        losses = paint_losses(self.judge, frames, truth, painted.picture, painted.mask)
        if self._begin.renderer is None:
            losses["colour"] = functional.l1_loss(painted.colour, truth)
        # published for one picture a step; the sum over a batch would grow with it
        return {**losses, "mask_smoothness": losses["mask_smoothness"] / len(frames)}

    def _paint(self, frames: Tensor, feature: Tensor | None, shared: Mapping[str, Any] | None = None) -> Painted:
        """What the generator makes; in training, `shared` says at which step."""
        painted = self.renderer(frames) if feature is None else self.renderer(frames, feature)
        painted = Painted(*(part.float() for part in painted))
        if shared is None or self._begin.renderer is not None:
            return painted
        if shared["step"] >= min(UNMASKED_STEPS, int(UNMASKED_SHARE * shared["steps"])):
            return painted
        return Painted(painted.colour, torch.zeros_like(painted.mask), painted.colour)

    @torch.no_grad()
    def _write(self, frames: Tensor, feature: Tensor, index: Tensor) -> None:
        """Write the batch into the memory, after the query network learned from it."""
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
        """PSNR in dB over the view of held-out frames, drawn from their own expression: painted, and as composed."""
        if self._held_out is None:
            return {}
        rows = np.unique(np.linspace(0, len(self._held_out) - 1, EVALUATED).astype(int))
        truths = self._held_out.truths[rows]
        made = np.stack([picture for picture in self.painted(self._held_out, rows)])
        return {"view_db": _psnr(made, truths), "composite_db": _psnr(self._held_out.composites[rows], truths)}

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Composite, result and truth of held-out frames, one below the other."""
        if self._held_out is None:
            return {}
        rows = np.linspace(0, len(self._held_out) - 1, SHOWN).astype(int)
        made = np.stack([picture for picture in self.painted(self._held_out, rows)])
        columns = np.concatenate([self._held_out.composites[rows], made, self._held_out.truths[rows]], axis=1)
        return {"faces": np.concatenate(list(columns), axis=1)}

    def painted(self, pairs: Pairs, rows: np.ndarray) -> list[np.ndarray]:
        """What the generator makes of some frames, with retrieved features: uint8 [S, S, 3] each."""
        device = next(self.renderer.parameters()).device
        history = pairs.history()
        found: list[np.ndarray] = []
        for first in range(0, len(rows), _CHUNK):
            stacked = np.concatenate(np.moveaxis(pairs.composites[history[rows[first : first + _CHUNK]]], 1, 0), -1)
            frames = to_signed(torch.from_numpy(stacked).permute(0, 3, 1, 2).to(device))
            feature = None
            if self._has_memory:
                feature = self.bank.to(str(device)).retrieve(self.query(frames[:, -3:])).feature[:, 0]
            found += list(to_bytes(self._paint(frames, feature).picture))
        return found


def make_generator(config: RendererConfig) -> UNetAdaIN | UNetAC:
    """The generator of a config, with the published starting weights."""
    if config.kind == "adain":
        network = UNetAdaIN(ngf=config.ngf, feature=config.feature, style_hidden=config.style_hidden)
    else:
        network = UNetAC(ngf=config.ngf)
    init_published(network)
    return network


def make_query(config: RendererConfig) -> QueryNet:
    """The query network of a config."""
    return QueryNet(feature=config.feature, width=config.query_width)


def scales_to_one(network: UNetAdaIN) -> None:
    """Make the style begin with scales of one, in place: near zero, as published, a new network stays dark for long."""
    last = network.mlp.model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        for _, scale in network.split_style(last.bias[None]).values():
            scale += 1.0


def augmented(images: list[np.ndarray], rng: np.random.Generator, mirror: bool) -> np.ndarray:
    """Pictures uint8 [S, S, 3] of one sample enlarged, cut at one random place, perhaps mirrored: [3 n, S, S]."""
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


def to_signed(pictures: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def to_bytes(pictures: Tensor) -> np.ndarray:
    """[B, 3, H, W] in [-1, 1] to uint8 [B, H, W, 3]."""
    levels = ((pictures.float() + 1) * 127.5).clamp(0, 255).round().byte()
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _start(network: nn.Module, state: Mapping[str, Tensor] | None, what: str) -> None:
    if state is None:
        init_published(network)
    else:
        load_into(network, state, what)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    squared = (a.astype(np.float32) - b.astype(np.float32)) ** 2
    return float(10 * np.log10(255**2 / max(1e-9, float(squared.mean()))))
