"""What the stages of fits and of general trainings share: work that is kept and resumed, and records in files."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.core.cache import cache_folder, content_hash, write_atomic
from talkingface.core.config import to_dict
from talkingface.core.device import likes_bfloat16
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.core.spec import SystemSpec
from talkingface.core.system import Weights
from talkingface.core.types import Clip, Photo
from talkingface.training.pipeline import Stage, Trained, run_recipe, run_stages
from talkingface.training.recipe import Recipe

CHECKPOINT_EVERY_S = 40.0  # seconds of work that a kill can cost, without the time to write a checkpoint
PREVIEWS = 12  # times that a renderer's training shows and measures held-out frames
GENERAL_SEED = 1

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipJob:
    """What a system fits: the clip at `path`; `folder` keeps unfinished work; its own `config`; general `weights` or
    None; and the device. Systems subclass it for the type of their config."""

    path: Path
    folder: Path
    config: Any
    weights: Weights | None
    device: str
    face_index: int | None = None
    size: int | str | None = None

    @property
    def seed(self) -> int:
        """That of the trainings."""
        return self.config.fit.seed

    def card_of_weights(self, spec: SystemSpec) -> dict[str, object]:
        """What an avatar's card says of the weights: their name, and their terms, which hold for it too.

        Weights of the user's own are not named: an avatar that needed them would not open on another machine.
        """
        if self.weights is None:
            return {"weights": ""}
        card, name = self.weights.card, str(self.weights.card.get("name", ""))
        terms = {key: card[key] for key in ("licence", "allows") if key in card}
        return {"weights": name if name in spec.weights else "", **terms}


def clip_and_folder(source: Photo | Clip, system: str, folder: Path | None) -> tuple[Path, Path]:
    """The path of the clip to fit, and where its unfinished work is kept: `folder`, or None for a place in the cache.

    Raises UsageError for a photo.
    """
    if isinstance(source, Photo):
        raise UsageError(f"{system} needs a video of one person who speaks; for a photo use --system portrait")
    return source.path, folder or cache_folder("fits", f"{system}-{content_hash(source.path)[:24]}")


def run_fit_stage(job: ClipJob, recipe: Recipe, name: str, steps: int, **options: Any) -> Trained:
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


def keep_facts(job: ClipJob, read_config: Callable[[Any], Any]) -> None:
    """Note in the job's folder what its work is on, or raise UsageError if it holds the work on something else.

    `read_config` reads a config that an earlier version wrote.
    """
    facts = {
        "clip": content_hash(job.path),
        "config": to_dict(job.config),
        "weights": "" if job.weights is None else job.weights.card.get("sha256", ""),
        "face_index": job.face_index,
        "size": job.size,
    }
    note = job.folder / "fit.json"
    if note.is_file():
        found = json.loads(note.read_text(encoding="utf-8"))
        with contextlib.suppress(UsageError):
            found["config"] = to_dict(read_config(found.get("config")))
        if found != json.loads(json.dumps(facts)):
            raise UsageError(
                f"{job.folder} holds the unfinished fit of another clip or with other settings; "
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
