"""The trainings of `headpose`: general weights of many people, from which `fit` goes on to one.

`talkingface train headpose.general DATA -o FOLDER` repeats every stage that made the shipped weights; each stage is
kept in FOLDER, and resumed or skipped when it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from talkingface.systems.headpose.compact.pipeline import audio_recipe, make_general, make_grid_avatar
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.systems.headpose.official.pipeline import atc_recipe, gan_recipe, make_official
from talkingface.training.recipe import Recipe

RECIPES: dict[str, Callable[[HeadposeConfig, Path], Recipe]] = {
    "audio": audio_recipe,
    "atcnet": atc_recipe,
    "gan": gan_recipe,
}
"""Recipe name -> recipe for a config and a folder of prepared clips: audio (compact); atcnet and gan, the general
stages of the published networks (official, journal)."""

PIPELINES: dict[str, Callable[[Path, Path], Path]] = {
    "general": make_general,
    "grid-s1": make_grid_avatar,
    "official-general": lambda data, folder: make_official("official", data, folder),
    "journal-general": lambda data, folder: make_official("journal", data, folder),
}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
