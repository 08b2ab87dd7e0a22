"""The trainings that `talkingface train pcavs.…` offers, from a data folder or a folder of crops (`data.crops`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from talkingface.systems.pcavs.compact.pipeline import make_compact
from talkingface.systems.pcavs.official.pipeline import make_angles, make_trained, stage_recipe
from talkingface.training.recipe import Recipe

RECIPES: dict[str, Callable[[Any, Path], Recipe]] = {
    "identity": lambda config, crops: stage_recipe("identity", config.official, crops),
    "sync": lambda config, crops: stage_recipe("sync", config.official, crops),
    "generator": lambda config, crops: stage_recipe("generator", config.official, crops),
}
"""Recipe name -> recipe for a config and a folder of crops. `official.training.begin` names what it starts from."""
PIPELINES: dict[str, Callable[[Path, Path], Path]] = {
    "compact": make_compact,
    "official": make_trained,
    "official-angles": make_angles,
}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
