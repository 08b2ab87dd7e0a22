"""What the stages of `fit` and of general trainings share: the job, its trainers, and the weights to begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from talkingface.core.device import likes_bfloat16
from talkingface.core.errors import UsageError
from talkingface.core.system import Weights
from talkingface.nn.state import tensors_of
from talkingface.systems.headpose.config import HeadposeConfig, read_config
from talkingface.training.recipe import Recipe
from talkingface.training.trainer import Trainer

CHECKPOINT_EVERY_S = 40.0
"""Seconds of work that a kill can cost, without the time to write a checkpoint."""
PREVIEWS = 12
"""Times that a renderer's training shows and measures held-out frames."""
GENERAL_SEED = 1
POSE_NUMBERS = 6
_LAST = "lstm_fc.0."

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """What to fit: the clip at `path`; `folder` keeps unfinished work; general `weights` or None; and the device."""

    path: Path
    folder: Path
    config: HeadposeConfig
    weights: Weights | None
    device: str
    face_index: int | None = None
    size: int | str | None = None


def make_trainer(job: FitJob, recipe: Recipe, name: str, steps: int, **options: Any) -> Trainer:
    """The trainer of one stage, in its folder; bfloat16 where the machine multiplies such numbers."""
    return Trainer(
        recipe, job.folder / name, steps=steps, seed=job.config.fit.seed, device=job.device,
        checkpoint_every_s=CHECKPOINT_EVERY_S, precision="bf16" if likes_bfloat16(job.device) else "32", **options,
    )  # fmt: skip


def run_stage(
    recipe: Recipe, folder: Path, steps: int, **options: Any
) -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
    """Averaged networks and last figures of a general training in `folder`, resumed if it was stopped."""
    trainer = Trainer(
        recipe, folder, steps=steps, seed=GENERAL_SEED, device="auto", precision="bf16", ema_decay=0.996,
        evaluate_every=max(1, steps // 4), checkpoint_every_s=120, **options,
    )  # fmt: skip
    metrics = dict(trainer.run().metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return trainer.averaged(), metrics


def weights_config(job: FitJob) -> HeadposeConfig | None:
    """The config of the weights that the fit begins with; None without weights, or if their card has none."""
    try:
        return None if job.weights is None else read_config(job.weights.card.get("config"))
    except UsageError:
        return None


def general_state(job: FitJob, name: Literal["audio", "renderer"]) -> State | None:
    """The general network to begin with, if there is one of the same shape.

    An ATC-net for another face model, as the official one, gives all but its last layer, which then begins at zero.
    """
    theirs = weights_config(job)
    if job.weights is None or theirs is None or getattr(theirs, name) != getattr(job.config, name):
        return None
    state = tensors_of(job.weights.tensors, name)
    rows = job.config.audio.expression + POSE_NUMBERS
    for key, value in state.items():
        if name == "audio" and key.startswith(_LAST) and len(value) != rows:
            state[key] = value.new_zeros(rows, *value.shape[1:])
    return state or None


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR of pictures uint8 of any shape, for the figures of a training."""
    squared = (a.astype(np.float32) - b.astype(np.float32)) ** 2
    return float(10 * np.log10(255**2 / max(1e-9, float(squared.mean()))))
