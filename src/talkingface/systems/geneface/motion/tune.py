"""A general head tuned to one person by few numbers: every matrix gets an addition of low rank (Hu et al. 2021), so
that half a minute of one voice does not narrow what those of many have taught, and an avatar stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from talkingface.face.morphable import LinearFaceModel
from talkingface.face.spoken_mouth import NUM_MOUTH
from talkingface.nn.speech_head import SpeechHead
from talkingface.systems.geneface.motion.config import Hearing
from talkingface.training.mouth_targets import correlation_loss
from talkingface.training.optim import OptimizerConfig
from talkingface.training.pipeline import run_recipe
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.speech_recipe import measure_rows, spread_loss

RANK = 4
ROWS, FRAMES = 6, 90
UNHEARD, UNSEEN = 12, 6
"""Frames without a loss at the start and the end of a cut: what they depend on lies outside."""


class TunedHead(nn.Module):
    """A frozen head whose matrices W become W + up down, and whose mouth is moved by a constant."""

    def __init__(self, head: SpeechHead, offset: np.ndarray, rank: int = RANK) -> None:
        super().__init__()
        self._head = [head.requires_grad_(False)]  # in a list: no part of this network
        self._state = dict(head.state_dict())
        bias = self._state["head.bias"].clone()
        bias[:NUM_MOUTH] += torch.from_numpy(offset)
        self._state["head.bias"] = bias
        self._names = [name for name, value in self._state.items() if value.ndim > 1]
        shapes = {name: (len(self._state[name]), self._state[name][0].numel()) for name in self._names}
        self.down = nn.ParameterList(
            nn.Parameter(torch.randn(rank, shapes[name][1]) * shapes[name][1] ** -0.5) for name in self._names
        )
        self.up = nn.ParameterList(nn.Parameter(torch.zeros(shapes[name][0], rank)) for name in self._names)

    def forward(self, tokens: Tensor) -> Tensor:
        """Rows [B, T, outputs] of tokens [B, 2 T, width]."""
        state = dict(self._state)
        for name, down, up in zip(self._names, self.down, self.up, strict=True):
            state[name] = state[name] + (up @ down).view(state[name].shape)
        head = self._head[0]
        head.train(self.training)
        return functional_call(head, state, (tokens,))

    def tensors(self) -> dict[str, np.ndarray]:
        """What `tuned` adds to the head: "<name>.down", "<name>.up", and the mouth's "offset"."""
        found = {"offset": (self._state["head.bias"] - self._head[0].state_dict()["head.bias"])[:NUM_MOUTH].numpy()}
        for name, down, up in zip(self._names, self.down, self.up, strict=True):
            found |= {f"{name}.down": down.detach().numpy(), f"{name}.up": up.detach().numpy()}
        return {name: value.astype(np.float32) for name, value in found.items()}


class TuneRecipe(Recipe):
    """Tuning of a head on the `voices`: tokens [2 T, width] of the person's words, in their own voice and in others;
    `shape` [T, 16] and frames `used` bool [T]."""

    name = "geneface.tune"
    phases = (Phase("fit", ("tuned",)),)
    loss_weights: Mapping[str, float] = {"measures": 2.0, "shape": 0.5, "speed": 0.5, "correlation": 1.0, "spread": 0.1}
    optimizers = {"tuned": OptimizerConfig(lr=3e-3, betas=(0.9, 0.999), warmup_steps=10, final_ratio=0.0)}

    def __init__(
        self,
        head: Mapping[str, np.ndarray],
        hearing: Hearing,
        model: LinearFaceModel,
        voices: Sequence[np.ndarray],
        shape: np.ndarray,
        used: np.ndarray,
        offset: np.ndarray,
    ) -> None:
        self._hearing, self._voices, self._offset = hearing, voices, offset.astype(np.float32)
        self._general = {name: torch.from_numpy(value) for name, value in head.items()}
        self._shape, self._used = shape.astype(np.float32), used.astype(np.float32)
        self._matrix = measure_rows(model)
        effect = np.sqrt((model.expression[..., :NUM_MOUTH] ** 2).sum((0, 1)))
        self._effect = torch.from_numpy((effect / np.linalg.norm(effect)).astype(np.float32))
        inside = np.convolve(self._used, np.ones(FRAMES), "valid") if len(used) >= FRAMES else np.ones(1)
        self._firsts = np.flatnonzero(inside >= 0.5 * inside.max())

    def networks(self) -> dict[str, nn.Module]:
        """The additions."""
        width = self._voices[0].shape[1]
        head = SpeechHead(self._hearing.head, self._hearing.delay, width, len(self._general["head.weight"]), 0.3)
        head.load_state_dict(self._general)
        self.tuned = TunedHead(head, self._offset)
        return {"tuned": self.tuned}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Cuts of the voices, of which the person's own is one."""
        rng = make_rng(seed, step)
        frames = min(FRAMES, len(self._used))
        tokens, shape, weight = [], [], []
        for _ in range(ROWS):
            voice = self._voices[int(rng.integers(len(self._voices)))]
            first = int(rng.choice(self._firsts))
            end = first + frames
            tokens.append(voice[2 * first : 2 * end])
            shape.append(self._shape[first:end])
            counts = self._used[first:end].copy()
            if first:
                counts[:UNHEARD] = 0
            if end < len(self._used):
                counts[-UNSEEN:] = 0
            weight.append(counts)
        found = {"tokens": tokens, "shape": shape, "weight": weight}
        return {name: torch.from_numpy(np.stack(rows).astype(np.float32)) for name, rows in found.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """Those of `training.speech_recipe`, of what is seen of the mouth."""
        weight, true_shape = batch["weight"][..., None], batch["shape"]
        shape = self.tuned(batch["tokens"])[..., :NUM_MOUTH].float()
        matrix, effect = (x.to(shape.device) for x in (self._matrix, self._effect))
        made, true = shape @ matrix.T, true_shape @ matrix.T
        count, both = weight.sum().clamp(min=1), weight[:, 1:] * weight[:, :-1]
        return {
            "measures": (functional.smooth_l1_loss(made, true, reduction="none") * weight).sum() / count / 3,
            "shape": (((shape - true_shape) * effect) ** 2 * weight).sum() / count,
            "speed": ((made.diff(dim=1) - true.diff(dim=1)) ** 2 * both).sum() / count,
            "correlation": correlation_loss(made, true, weight),
            "spread": spread_loss(made, true, weight),
        }


def tune_head(recipe: TuneRecipe, folder: Path, steps: int, seed: int) -> dict[str, np.ndarray]:
    """The additions that a training in `folder` finds; gone on with if it was stopped."""
    done = run_recipe(recipe, folder, steps=steps, seed=seed, device="cpu", ema_decay=None, checkpoint_every_s=20)
    networks = recipe.networks()
    networks["tuned"].load_state_dict(done.last["tuned"])
    return recipe.tuned.tensors()
