"""Pipelines: trainings one after the other, from a data folder to weights with the card that says how they were made.

    stages = [
        Stage(name="offsets", steps=120, make=lambda done: SyncRecipe(clips, late_s=listed)),
        Stage(name="final", steps=400, make=lambda done: SyncRecipe(clips, late_s=own_offsets(done["offsets"]))),
    ]
    done = run_stages(folder / "sync_expert", stages, seed=1, device="cpu")
    card = make_card("sync_expert.v1", done, terms=RESEARCH, seed=1, data="960 clips", held_back=held_back_of(clips))
    return save_made(folder, arrays(done["final"].networks["sync"]), card)

A pipeline that was stopped anywhere goes on when it is run again: a stage that is finished is read from its folder,
without making its recipe (which may take minutes of reading), and the trainer resumes one that is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from talkingface.clips.manifest import ClipEntry, held_back_text
from talkingface.core.cache import output_error, write_atomic
from talkingface.core.config import to_dict
from talkingface.core.errors import InputError, UsageError
from talkingface.core.weights import save_weights
from talkingface.training.checkpoint import FILE_NAME, load_checkpoint
from talkingface.training.recipe import Recipe
from talkingface.training.trainer import Trainer

NOTE = "stage.json"
State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a finished stage gave, on the CPU.

    `networks` are the moving averages, which are what to publish; `last` are the networks of the last step, for what
    must be exactly what was trained (a discriminator, the query network of a memory).
    """

    networks: Mapping[str, State]
    last: Mapping[str, State]
    metrics: Mapping[str, float]
    steps: int
    trained_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One training of a pipeline.

    `name` is its folder and its name in the card; `make` gives the recipe, from what the stages before it gave (by
    name), and is called only if the stage is not finished. `settings` (JSON-ready) are what else decides the result:
    a folder whose stage had other ones is refused. `options` go to the trainer
    and win over those of `run_stages`.
    """

    name: str
    steps: int
    make: Callable[[Mapping[str, Trained]], Recipe]
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """A licence, and what it allows in one sentence."""

    licence: str
    allows: str


FREE = Terms(
    "CC-BY-4.0", "any use, with attribution to the GRID corpus (2006), LibriSpeech (2015) and VoxCeleb2 (2018)"
)
"""Of weights that learned from the free part of this project's data folder alone."""
RESEARCH = Terms(
    "research only", "research and evaluation; parts of the training clips have terms that exclude other use"
)
OWN_ORIGIN = "trained by the talkingface project"


def run_stages(folder: Path, stages: Sequence[Stage], *, seed: int, **options: Any) -> dict[str, Trained]:
    """Run the stages in folders within `folder`; what each gave, by name. `options` are those of every trainer.

    Raises UsageError if a folder holds a training with other settings, InputError for a damaged checkpoint.
    """
    done: dict[str, Trained] = {}
    for stage in stages:
        done[stage.name] = _run_stage(folder / stage.name, stage, done, {"seed": seed, **options, **stage.options})
    return done


def run_recipe(recipe: Recipe, folder: Path, *, steps: int, **options: Any) -> Trained:
    """One training to its end in `folder`, gone on with if it was stopped."""
    trainer = Trainer(recipe, folder, steps=steps, **options)
    outcome, averaged = trainer.run(), trainer.averaged()
    return Trained(
        networks=_on_cpu(averaged),
        last=_on_cpu({name: trainer.networks[name].state_dict() for name in averaged}),
        metrics=dict(outcome.metrics),
        steps=steps,
        trained_s=outcome.trained_s,
    )


def _run_stage(folder: Path, stage: Stage, done: Mapping[str, Trained], options: Mapping[str, Any]) -> Trained:
    seed = options["seed"]
    facts = {"steps": stage.steps, "seed": seed, "settings": dict(stage.settings)}
    path, note = folder / FILE_NAME, folder / NOTE
    if not path.is_file():
        note.unlink(missing_ok=True)
    elif note.is_file():
        _check_same(folder, kept(note, dict), json.loads(json.dumps(facts)))
    kept(note, lambda: facts)
    state = load_checkpoint(path) if path.is_file() else None
    if state is None or state["step"] < stage.steps or state["seed"] != seed:
        return run_recipe(stage.make(done), folder, steps=stage.steps, **options)
    return Trained(
        networks=state["ema"] or state["networks"],
        last=state["networks"],
        metrics=state["metrics"],
        steps=stage.steps,
        trained_s=state["trained_s"],
    )


def _check_same(folder: Path, found: Any, own: Mapping[str, Any]) -> None:
    other = [key for key in own if not isinstance(found, dict) or found.get(key) != own[key]]
    if other:
        raise UsageError(
            f"{folder} holds a training with other {' and '.join(other)}; "
            "name another output folder, or delete that one to start again"
        )


def _on_cpu(networks: Mapping[str, State]) -> dict[str, State]:
    return {
        name: {key: value.detach().cpu().clone() for key, value in state.items()} for name, state in networks.items()
    }


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What the JSON file at `path` holds; made and written first if there is none. Raises InputError, OutputError."""
    if not path.is_file():
        made = json.dumps(make())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path.parent, error) from error
        with write_atomic(path, "w") as file:
            file.write(made)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged; delete it to have it made again") from error


def held_back_of(clips: Iterable[ClipEntry]) -> str:
    """The frames that no training used, for a card: "frames 300:606 of person31"."""
    parts = [f"frames {held_back_text(clip.held_back)} of {clip.slug}" for clip in clips if clip.held_back is not None]
    return ", ".join(parts) or "nothing"


def make_card(
    name: str,
    done: Mapping[str, Trained],
    *,
    terms: Terms,
    data: str,
    held_back: str,
    seed: int | None = None,
    config: object = None,
    command: str = "",
    origin: str = OWN_ORIGIN,
    **more: Any,
) -> dict[str, Any]:
    """The card of weights called `name`: data, licence, command, steps, metrics. The hash is added when it is written.

    Figures of a stage are called "<stage>.<figure>"; without stages (`done` empty) `more` says how it was made.
    `config` is a system's config (a dataclass or its dict), `command` differs from `talkingface train <name>` where
    several names come of one; `more` (system, paper, ...) goes in as it is.
    """
    card: dict[str, Any] = {
        "name": name,
        "version": 1,
        "licence": terms.licence,
        "allows": terms.allows,
        "data": data,
        "held_back": held_back,
        "origin": origin,
        "command": command or f"talkingface train {name} DATA -o FOLDER",
    }
    if done:
        card["steps"] = {stage: trained.steps for stage, trained in done.items()}
        figures = {f"{stage}.{key}": value for stage, trained in done.items() for key, value in trained.metrics.items()}
        card["metrics"] = {key: round(value, 4) if math.isfinite(value) else None for key, value in figures.items()}
        card["trained_s"] = round(sum(trained.trained_s for trained in done.values()))
    if seed is not None:
        card["seed"] = seed
    if config is not None:
        card["config"] = config if isinstance(config, dict) else to_dict(config)
    return card | more


def save_made(folder: Path, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> Path:
    """Write weights with their card to `folder`/weights/NAME, which is returned."""
    return save_weights(folder / "weights" / str(card["name"]), tensors, card).folder
