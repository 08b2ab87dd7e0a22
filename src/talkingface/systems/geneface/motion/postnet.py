"""The adversarial adapter, small: what comes of other voices shall look like the person's own movement to a judge, and
of the person's own words be what the person did. Seeded; chosen or dropped by `adapt`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.face.spoken_mouth import NUM_MOUTH
from talkingface.systems.geneface.official.postnet import fooled_loss, judge_losses
from talkingface.training.optim import OptimizerConfig
from talkingface.training.pipeline import run_recipe
from talkingface.training.recipe import Phase, Recipe, make_rng

WIDTH, TAPS, JUDGED = 48, 3, 5
"""Channels and taps of the causal convolutions; frames that the judge sees together."""
ROWS, FRAMES = 12, 60
STEPS, LOOKS = 240, 4
"""Length of the training, and how many states of it are compared."""


class PostNet(nn.Module):
    """Mouths [B, T, 16] in units of the person's deviation -> what is added to them."""

    def __init__(self) -> None:
        super().__init__()
        widths = (NUM_MOUTH, WIDTH, WIDTH, NUM_MOUTH)
        self.layers = nn.ModuleList(nn.Conv1d(a, b, TAPS) for a, b in itertools.pairwise(widths))
        last = self.layers[-1]
        assert isinstance(last, nn.Conv1d) and last.bias is not None
        nn.init.zeros_(last.weight)  # at first nothing is changed
        nn.init.zeros_(last.bias)

    def forward(self, mouth: Tensor) -> Tensor:
        x = mouth.transpose(1, 2)
        for number, layer in enumerate(self.layers):
            x = layer(functional.pad(x if number == 0 else functional.leaky_relu(x, 0.2), (TAPS - 1, 0)))
        return mouth + x.transpose(1, 2)


class MovementJudge(nn.Module):
    """Mouths [B, T, 16] -> a number for every five frames in a row [B (T - 4), 1]; 1 means the person's own."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((NUM_MOUTH * JUDGED, 128), (128, 128)):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2), nn.Dropout(0.25)]
        self.backbone = nn.Sequential(*layers, nn.Linear(128, 1, bias=False))

    def forward(self, mouth: Tensor) -> Tensor:
        return self.backbone(mouth.unfold(1, JUDGED, 1).flatten(2).flatten(0, 1))


class Stop:
    """A state of the training: `tensors` for `person.PostStream` without units, and the `balance`, what the judge says
    of adapted and of real movement that it has not seen; a half each is even."""

    def __init__(self, postnet: PostNet, judge: MovementJudge, made: np.ndarray, real: np.ndarray) -> None:
        with torch.no_grad():
            rows = [torch.from_numpy(x.astype(np.float32))[None] for x in (made, real)]
            self.balance = (float(judge(postnet(rows[0])).mean()), float(judge(rows[1]).mean()))
        self.tensors: dict[str, np.ndarray] = {}
        for number, layer in enumerate(postnet.layers):
            for key, value in layer.state_dict().items():
                self.tensors[f"{number}.{key}"] = value.detach().cpu().numpy().copy()

    @property
    def even(self) -> bool:
        """Whether neither has won."""
        return all(abs(value - 0.5) < 0.3 for value in self.balance)


class AdapterRecipe(Recipe):
    """`made`: mouths [T, 16] of the person's words in several voices, the person's own first, before the adapter;
    `real` [T, 16] the person's, `used` bool [T] frames of training, all in units of the person's deviation. `unseen`:
    movement made and real [N, 16] on which the judge's balance is measured."""

    name = "geneface.adapter"
    phases = (Phase("adapt", ("postnet",)), Phase("judge", ("judge",)))
    loss_weights: Mapping[str, float] = {"adversarial": 0.05, "person": 1.0, "near": 0.1, "made": 1.0, "real": 1.0}
    optimizers = {
        "postnet": OptimizerConfig(lr=1e-3, betas=(0.5, 0.99), warmup_steps=20, final_ratio=1.0),
        "judge": OptimizerConfig(lr=3e-4, betas=(0.5, 0.99), warmup_steps=0, final_ratio=1.0),
    }

    def __init__(
        self,
        made: Sequence[np.ndarray],
        real: np.ndarray,
        used: np.ndarray,
        unseen: tuple[np.ndarray, np.ndarray],
    ) -> None:
        self._unseen, self.stops = unseen, list[Stop]()
        self._made, self._real, self._used = made, real.astype(np.float32), used.astype(np.float32)
        self._frames = min(FRAMES, len(used))
        inside = np.convolve(self._used, np.ones(self._frames), "valid")
        self._firsts = np.flatnonzero(inside >= 0.9 * inside.max())

    def networks(self) -> dict[str, nn.Module]:
        """The adapter and the judge."""
        self.postnet, self.judge = PostNet(), MovementJudge()
        return {"postnet": self.postnet, "judge": self.judge}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Cuts of all voices, of the person's own voice with what they did, and of the person's movement alone."""
        rng = make_rng(seed, step)
        firsts = rng.choice(self._firsts, (3, ROWS))
        voices = rng.integers(0, len(self._made), ROWS)
        cut = {
            "others": [self._made[int(v)][f : f + self._frames] for v, f in zip(voices, firsts[0], strict=True)],
            "own": [self._made[0][f : f + self._frames] for f in firsts[1]],
            "target": [self._real[f : f + self._frames] for f in firsts[1]],
            "used": [self._used[f : f + self._frames] for f in firsts[1]],
            "real": [self._real[f : f + self._frames] for f in firsts[2]],
        }
        return {name: torch.from_numpy(np.stack(rows).astype(np.float32)) for name, rows in cut.items()}

    def evaluate(self) -> dict[str, float]:
        """What the judge says of unseen movement, made and real; keeps the state."""
        self.stops.append(Stop(self.postnet, self.judge, *self._unseen))
        return dict(zip(("judged_made", "judged_real"), self.stops[-1].balance, strict=True))

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """The adapter's, then the judge's (least squares, as published)."""
        if phase == "judge":
            return judge_losses(self.judge(shared["adapted"]), self.judge(batch["real"]))
        adapted, used = self.postnet(batch["others"]), batch["used"][..., None]
        shared["adapted"] = adapted.detach()
        error = (self.postnet(batch["own"]) - batch["target"]).square() * used
        return {
            "adversarial": fooled_loss(self.judge(adapted)),
            "person": error.sum() / used.sum().clamp(min=1) / NUM_MOUTH,
            "near": (adapted - batch["others"]).square().mean(),
        }


def stops(recipe: AdapterRecipe, seed: int) -> list[Stop]:
    """States along the training, which takes seconds."""
    with TemporaryDirectory() as folder:
        options = {"device": "cpu", "ema_decay": None, "log_every": STEPS, "evaluate_every": -(-STEPS // LOOKS)}
        run_recipe(recipe, Path(folder), steps=STEPS, seed=seed, **options)
    return recipe.stops
