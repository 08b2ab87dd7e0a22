"""What the stages of fits and of general trainings share: work that is kept and resumed, and records in files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.core.cache import write_atomic
from talkingface.core.device import likes_bfloat16
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.training.pipeline import Stage, Trained, run_recipe, run_stages
from talkingface.training.recipe import Recipe

CHECKPOINT_EVERY_S = 40.0  # seconds of work that a kill can cost, without the time to write a checkpoint
PREVIEWS = 12  # times that a renderer's training shows and measures held-out frames
GENERAL_SEED = 1

Record = TypeVar("Record")


class Job(Protocol):
    """A fit of any system: `folder` keeps its unfinished work."""

    @property
    def folder(self) -> Path: ...

    @property
    def seed(self) -> int: ...

    @property
    def device(self) -> str: ...


def run_fit_stage(job: Job, recipe: Recipe, name: str, steps: int, **options: Any) -> Trained:
    """One training of a fit, in its folder; bfloat16 where the machine multiplies such numbers.

    `options` go to `training.pipeline.run_recipe`, over what is chosen here.
    """
    chosen = {
        "checkpoint_every_s": CHECKPOINT_EVERY_S,
        "precision": "bf16" if likes_bfloat16(job.device) else "32",
        **options,
    }
    return run_recipe(recipe, job.folder / name, steps=steps, seed=job.seed, device=job.device, **chosen)


def run_general(folder: Path, stages: Sequence[Stage]) -> dict[str, Trained]:
    """The stages of a general training, each with four evaluations; see `training.pipeline.run_stages`."""
    stages = [replace(s, options={"evaluate_every": max(1, s.steps // 4), **s.options}) for s in stages]
    return run_stages(
        folder, stages, seed=GENERAL_SEED, device="auto", precision="bf16", ema_decay=0.996, checkpoint_every_s=120
    )


def keep_facts(
    folder: Path, facts: Mapping[str, Any], upgrade: Callable[[dict[str, Any]], dict[str, Any]] = lambda found: found
) -> None:
    """Note in `folder` what its work is on, or raise UsageError if it holds the work on something else.

    `upgrade` gives the facts of an earlier version their present names.
    """
    note = folder / "fit.json"
    if note.is_file():
        found = upgrade(json.loads(note.read_text(encoding="utf-8")))
        if found != json.loads(json.dumps(facts)):
            raise UsageError(
                f"{folder} holds the unfinished fit of another clip or with other settings; "
                "name another output, or delete that folder to begin anew"
            )
        return
    with write_atomic(note, "w") as file:
        json.dump(facts, file)


@contextmanager
def refused_leaves_nothing(folder: Path, begun: str) -> Iterator[None]:
    """A clip that is refused leaves no folder, or the next clip of that output would meet it.

    What is in `folder` stays once the stage `begun` has started.
    """
    try:
        yield
    except TalkingFaceError:
        if not (folder / begun).exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


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
