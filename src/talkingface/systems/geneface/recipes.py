"""The trainings of `geneface`: the general networks of many people, and every stage of one person's alone.

`talkingface train geneface.general DATA -o FOLDER` repeats every stage that made the shipped weights; each stage is
kept in FOLDER, and resumed or skipped when it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from talkingface.systems.geneface.config import GenefaceConfig
from talkingface.systems.geneface.fit.grid import make_grid_avatar
from talkingface.systems.geneface.motion import pipeline as motion
from talkingface.systems.geneface.official.recipes import OFFICIAL_RECIPES
from talkingface.training.recipe import Recipe

RECIPES: dict[str, Callable[[GenefaceConfig, Path], Recipe]] = {
    **{name: lambda config, folder, make=make: make(config.speech, folder) for name, make in motion.RECIPES.items()},
    **{
        name: lambda config, folder, make=make: make(config.official, folder) for name, make in OFFICIAL_RECIPES.items()
    },
}
"""Recipe name -> recipe for a config and a folder: prepared clips for what hears, a person's folder for renderers."""

PIPELINES: dict[str, Callable[[Path, Path], Path]] = {**motion.PIPELINES, "grid-s1": make_grid_avatar}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
