"""`train`: runs one of a system's recipes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkingface.clips.source import existing
from talkingface.core import registry
from talkingface.core.cache import output_error
from talkingface.core.config import load_config, save_config
from talkingface.core.device import configure_process, pick_device
from talkingface.core.errors import UsageError
from talkingface.core.types import check_number, check_seed
from talkingface.core.work_folder import WorkFolder, check_free

if TYPE_CHECKING:
    from talkingface.training.trainer import Outcome


SHARED_PIPELINES = {
    "matte.v1": "talkingface.training.matte:make_weights",
    "speech_encoder.clean": "talkingface.training.speech_encoder:make_clean",
    "speech_encoder.v1": "talkingface.training.speech_encoder:make_weights",
    "sync_expert.v1": "talkingface.training.sync_expert:make_weights",
}
"""Trainings of weights that belong to no system."""


def recipe_names(system: str) -> list[str]:
    """Full names ("portrait.face") of the single trainings that `system` offers."""
    return sorted(f"{system}.{name}" for name in _recipes(system, "RECIPES"))


def pipeline_names(system: str) -> list[str]:
    """Full names ("portrait.clean") of the trainings that lead from a data folder to finished weights.

    `system` may also be the first part of weights that belong to no system ("sync_expert").
    """
    shared = [name for name in SHARED_PIPELINES if name.partition(".")[0] == system]
    return shared or sorted(f"{system}.{name}" for name in _recipes(system, "PIPELINES"))


def make_weights(pipeline: str, data: str | Path, folder: str | Path) -> Path:
    """Run every stage of `pipeline` on a data folder (see docs/training.md); returns the folder of the weights.

    Stages that are finished in `folder` are skipped, interrupted ones go on. Raises UsageError, InputError.
    """
    configure_process()
    shared = SHARED_PIPELINES.get(pipeline)
    run = _recipe(pipeline, "PIPELINES") if shared is None else registry.import_attribute(shared)
    with WorkFolder(folder, f"the training {folder}") as work:
        return run(existing(data), work.path)


def _recipes(system: str, attribute: str) -> dict[str, Callable[..., Any]]:
    """What the system's module of trainings has under `attribute`, by short name."""
    spec = registry.get_spec(system)
    return getattr(import_module(spec.recipes), attribute, {}) if spec.recipes else {}


def _recipe(full_name: str, attribute: str) -> Callable[..., Any]:
    """The function of a training. Raises UsageError with the close names for an unknown one."""
    system, _, name = full_name.partition(".")
    known = _recipes(system, attribute)
    if name not in known:
        names = [*pipeline_names(system), *recipe_names(system)]
        if not names:
            raise UsageError(f"system {system} offers no training")
        raise UsageError(f"no training {full_name!r}{registry.suggest(full_name, names)}")
    return known[name]


def train(
    recipe: str,
    data: str | Path,
    folder: str | Path,
    *,
    steps: int | None,
    config: str | Path | None = None,
    **options: Any,
) -> Outcome:
    """Run a training of `steps` steps, going on from the last checkpoint in `folder` if there is one.

    `recipe` is "<system>.<name>" ("portrait.face"), `data` a folder of prepared clips, `config` a JSON file or a
    preset name (default: the system's first preset); it is written to `folder` as `config.json`. Further options go to
    `training.trainer.Trainer`. Raises UsageError, InputError, OutputError.
    """
    from talkingface.training.trainer import Trainer

    configure_process()
    make = _recipe(recipe, "RECIPES")
    if steps is None:
        raise UsageError(f"{recipe} needs --steps, the length of the training")
    check_number("steps", steps, 1, whole=True)
    check_seed(options.get("seed", 0))
    pick_device(options.get("device", "auto"))
    if options.get("time_limit_s") is not None:
        check_number("the time limit", options["time_limit_s"], 0)
    source = existing(data)
    spec = registry.get_spec(recipe.partition(".")[0])
    if config is not None and str(config) not in spec.presets:
        chosen = load_config(config, type(registry.get_config(spec, spec.presets[0])))
    else:
        chosen = registry.get_config(spec, str(config or spec.presets[0]))
    folder = Path(folder)
    check_free(folder, f"the training {folder}")  # before the other run's config is replaced
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    save_config(folder / "config.json", chosen)
    return Trainer(make(chosen, source), folder, steps=steps, **options).run()
