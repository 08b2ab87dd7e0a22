"""What the stages of `fit` and of general trainings share: the job, its trainers, and the weights to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from torch import Tensor

from talkingface.core.arrays import save_arrays
from talkingface.core.config import to_dict
from talkingface.core.device import likes_bfloat16
from talkingface.core.errors import UsageError
from talkingface.core.system import Weights
from talkingface.nn.state import tensors_of
from talkingface.systems.headpose.config import HeadposeConfig, read_config
from talkingface.training.pipeline import Stage, Trained, run_recipe, run_stages
from talkingface.training.recipe import Recipe

CHECKPOINT_EVERY_S = 40.0  # seconds of work that a kill can cost, without the time to write a checkpoint
PREVIEWS = 12  # times that a renderer's training shows and measures held-out frames
GENERAL_SEED = 1
POSE_NUMBERS = 6
_LAST = "lstm_fc.0."

State = dict[str, Tensor]
Record = TypeVar("Record")


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


def run_fit_stage(job: FitJob, recipe: Recipe, name: str, steps: int, **options: Any) -> Trained:
    """One training of a fit, in its folder; bfloat16 where the machine multiplies such numbers."""
    return run_recipe(
        recipe, job.folder / name, steps=steps, seed=job.config.fit.seed, device=job.device,
        checkpoint_every_s=CHECKPOINT_EVERY_S, precision="bf16" if likes_bfloat16(job.device) else "32", **options,
    )  # fmt: skip


def run_general(folder: Path, stages: Sequence[Stage]) -> dict[str, Trained]:
    """The stages of a general training, each with four evaluations; see `training.pipeline.run_stages`."""
    stages = [replace(s, options={"evaluate_every": max(1, s.steps // 4), **s.options}) for s in stages]
    return run_stages(
        folder, stages, seed=GENERAL_SEED, device="auto", precision="bf16", ema_decay=0.996, checkpoint_every_s=120
    )


def config_of_weights(config: HeadposeConfig) -> dict[str, Any]:
    """What a card of general weights keeps of a config: `fit` is the program's, for all later versions of it."""
    return {key: value for key, value in to_dict(config).items() if key != "fit"}


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


def save_record(path: Path, record: Any) -> None:
    """Write a dataclass of arrays as one .npz without pickles. Raises OutputError."""
    save_arrays(path, **{field.name: getattr(record, field.name) for field in fields(record)})


def load_record(cls: type[Record], path: Path) -> Record:
    """Read what `save_record` wrote of a `cls`. Raises OSError, ValueError or KeyError for anything else."""
    with path.open("rb") as stored, np.load(stored, allow_pickle=False) as found:
        return cls(**{field.name: found[field.name] for field in fields(cls)})  # type: ignore[arg-type]


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR of pictures uint8 of any shape, for the figures of a training."""
    squared = (a.astype(np.float32) - b.astype(np.float32)) ** 2
    return float(10 * np.log10(255**2 / max(1e-9, float(squared.mean()))))
