"""What the stages of `fit` share: the job, its trainer, and tensors under prefixes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from talkingface.core.config import from_dict, to_dict
from talkingface.core.device import likes_bfloat16
from talkingface.core.errors import UsageError
from talkingface.core.system import Weights
from talkingface.nn.state import tensors_of
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.training.trainer import Trainer

CHECKPOINT_EVERY_S = 40.0
"""What a kill can cost, less the writing."""
PREVIEWS = 12
GENERAL_SEED = 1
POSE_NUMBERS = 6
_LAST = "lstm_fc.0."

State = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """What to fit: the clip at `path`; `folder` keeps the work; general `weights` or None; and where it runs."""

    path: Path
    folder: Path
    config: HeadposeConfig
    weights: Weights | None
    device: str
    face_index: int | None = None
    size: int | str | None = None


def make_trainer(job: FitJob, recipe: Any, name: str, steps: int, **options: Any) -> Trainer:
    """The trainer of one stage, in its folder; bfloat16 where the machine multiplies such numbers."""
    return Trainer(
        recipe, job.folder / name, steps=steps, seed=job.config.fit.seed, device=job.device,
        checkpoint_every_s=CHECKPOINT_EVERY_S, precision="bf16" if likes_bfloat16(job.device) else "32", **options,
    )  # fmt: skip


def run_stage(
    recipe: Any, folder: Path, steps: int, **options: Any
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, float]]:
    """Averaged networks and last figures of a general training in `folder`, resumed if it was stopped."""
    trainer = Trainer(
        recipe, folder, steps=steps, seed=GENERAL_SEED, device="auto", precision="bf16", ema_decay=0.996,
        evaluate_every=max(1, steps // 4), checkpoint_every_s=120, **options,
    )  # fmt: skip
    metrics = dict(trainer.run().metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return trainer.averaged(), metrics


def start_of(job: FitJob, name: Literal["audio", "renderer"]) -> State | None:
    """The general network to begin from, if there is one of the same shape.

    An ATC-net for another face model, as the official one, lends all but its last layer, which then begins at zero.
    """
    own = getattr(job.config, name)
    if job.weights is None or stored_config(type(own), job.weights.card.get("config", {}).get(name)) != to_dict(own):
        return None
    state = tensors_of(job.weights.tensors, name)
    rows = job.config.audio.expression + POSE_NUMBERS
    for key, value in state.items():
        if name == "audio" and key.startswith(_LAST) and len(value) != rows:
            state[key] = value.new_zeros(rows, *value.shape[1:])
    return state or None


def stored_config(cls: type, stored: Any) -> Any:
    """A config as an earlier version stored it, newer settings at their defaults; as it is if it is none.

    So work and weights of yesterday go on under today's settings.
    """
    try:
        return to_dict(from_dict(cls, stored))
    except UsageError:
        return stored
