"""`geneface.pose`: the published speech to head pose, of one person, on the tokens of any encoder.

The published loss has a second term, meant for the poses before, that slices the batch in place of time and compares
samples that have nothing to do with each other. It is left out: the loss is of every frame of a window already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.systems.geneface.official.audio2pose import FIELD, AudioToPose, pose_loss
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

ROWS = 64


class PoseRecipe(Recipe):
    """`tokens` [2 T, C] of a clip, its head `pose` [T, 6] and `used` bool [T]. Poses are about their mean and in units
    of their deviation: turns and places count alike."""

    name = "geneface.pose"
    phases = (Phase("fit", ("pose",)),)
    loss_weights: Mapping[str, float] = {"pose": 1.0}

    def __init__(self, tokens: np.ndarray, pose: np.ndarray, used: np.ndarray, *, warmup: int = 1000) -> None:
        count = min(len(tokens) // 2, len(pose))
        self.optimizers = {
            "pose": OptimizerConfig(
                lr=5e-4, betas=(0.9, 0.999), warmup_steps=warmup, final_ratio=0.91, decay="exponential"
            )
        }
        self._audio = tokens[: 2 * count].reshape(count, -1).astype(np.float32)
        self.mean, self.deviation = pose[:count][used[:count]].mean(0), pose[:count][used[:count]].std(0) + 1e-5
        rows = ((pose[:count] - self.mean) / self.deviation).astype(np.float32)
        speed = np.diff(rows, axis=0, prepend=rows[:1])
        self._rows = np.concatenate([rows, speed], axis=1)
        whole = np.convolve(used[:count].astype(float), np.ones(FIELD + 1), "valid") >= FIELD + 0.5
        self._firsts = np.flatnonzero(whole)
        if not len(self._firsts):
            raise ValueError(f"the clip has no {FIELD + 1} frames in a row to learn head poses from")

    def networks(self) -> dict[str, nn.Module]:
        """The network."""
        self.pose = AudioToPose(self._audio.shape[1])
        return {"pose": self.pose}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Windows: speech [B, 100, 2 C], what was before each frame [B, 100, 12], and each frame [B, 100, 12]."""
        firsts = make_rng(seed, step).choice(self._firsts, ROWS)
        found = {
            "audio": np.stack([self._audio[f + 1 : f + 1 + FIELD] for f in firsts]),
            "before": np.stack([self._rows[f : f + FIELD] for f in firsts]),
            "real": np.stack([self._rows[f + 1 : f + 1 + FIELD] for f in firsts]),
        }
        return {name: torch.from_numpy(value) for name, value in found.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """Squared error of the means of every frame's pose and velocity."""
        return {"pose": pose_loss(self.pose(batch["audio"], batch["before"]), batch["real"])}
