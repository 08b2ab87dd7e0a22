"""The trainings of the published form by name, each on one person: from a folder to a recipe.

A person's folder has what `material.take_apart` leaves there, and finished trainings beside it under their names:

    talkingface train geneface.head PERSON -o PERSON/head --config official --steps 250000
    talkingface train geneface.torso PERSON -o PERSON/torso --config official --steps 250000

A folder with nothing but one video is prepared first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.metrics.lpips import weights_name
from talkingface.metrics.networks import with_weights
from talkingface.nn.lpips import Lpips
from talkingface.systems.geneface.config import OfficialConfig
from talkingface.systems.geneface.official.conditions import ClipConditions, landmark_conditions, speech_conditions
from talkingface.systems.geneface.official.field_recipe import HeadRecipe, TorsoRecipe
from talkingface.systems.geneface.official.material import FieldClip
from talkingface.systems.geneface.official.vanilla_recipe import Head, NerfHeadRecipe, NerfTorsoRecipe, load_head
from talkingface.training.checkpoint import FILE_NAME, load_networks
from talkingface.training.recipe import Recipe

FEATURES = "features.npy"
"""Speech features from outside, in the person's folder: they take the place of the toolkit's tokens."""


def head_recipe(config: OfficialConfig, folder: Path) -> HeadRecipe:
    """The radiance field of the head, driven by landmarks."""
    clip = FieldClip.load(folder)
    conditions = landmark_conditions(clip.landmarks, clip.range)
    return HeadRecipe(clip, config.renderer, config.training, conditions, stored_lpips())


def radnerf_recipe(config: OfficialConfig, folder: Path) -> HeadRecipe:
    """The same driven straight from sound: RAD-NeRF."""
    clip = FieldClip.load(folder)
    recipe = HeadRecipe(clip, config.renderer, config.training, _speech(clip), stored_lpips())
    recipe.name = "geneface.radnerf"
    return recipe


def torso_recipe(config: OfficialConfig, folder: Path) -> TorsoRecipe:
    """The torso beside the head that was trained in the folder."""
    clip = FieldClip.load(folder)
    conditions = landmark_conditions(clip.landmarks, clip.range)
    return TorsoRecipe(clip, config.renderer, config.training, conditions, _trained(folder, "head", "field"))


def nerf_head_recipe(config: OfficialConfig, folder: Path) -> NerfHeadRecipe:
    """The head of the paper's renderer."""
    clip = FieldClip.load(folder)
    return NerfHeadRecipe("nerf-head", clip, config.training, landmark_conditions(clip.landmarks, clip.range))


def adnerf_recipe(config: OfficialConfig, folder: Path) -> NerfHeadRecipe:
    """AD-NeRF's head, driven by speech."""
    clip = FieldClip.load(folder)
    return NerfHeadRecipe("adnerf", clip, config.training, _speech(clip))


def nerf_torso_recipe(config: OfficialConfig, folder: Path) -> NerfTorsoRecipe:
    """The torso before the vanilla head or AD-NeRF's, whichever was trained in the folder."""
    clip = FieldClip.load(folder)
    speech, kind = _speech(clip), _trained_head(folder)
    conditions = speech if kind == "adnerf" else landmark_conditions(clip.landmarks, clip.range)
    head = load_head(kind, config.training, conditions, _trained(folder, kind, "nerf"))
    return NerfTorsoRecipe(clip, config.training, speech, head, conditions)


OFFICIAL_RECIPES: Mapping[str, Callable[[OfficialConfig, Path], Recipe]] = {
    "head": head_recipe,
    "torso": torso_recipe,
    "nerf-head": nerf_head_recipe,
    "nerf-torso": nerf_torso_recipe,
    "adnerf": adnerf_recipe,
    "radnerf": radnerf_recipe,
}
"""Training -> recipe for a config and a person's folder."""


def stored_lpips() -> Lpips | None:
    """The imported LPIPS, or None."""
    try:
        return with_weights(Lpips("alex"), weights_name("alex"))
    except WeightsError:
        return None


def _speech(clip: FieldClip) -> ClipConditions:
    features = clip.folder / FEATURES
    return speech_conditions(clip.samples, len(clip), features if features.is_file() else None)


def _trained(folder: Path, training: str, network: str) -> Mapping[str, Tensor]:
    if not (folder / training / FILE_NAME).is_file():
        raise UsageError(
            f"{folder} holds no trained {training}; train it first: talkingface train geneface.{training} {folder} "
            f"-o {folder / training}"
        )
    found = load_networks(folder / training)
    if network not in found:
        raise InputError(f"{folder / training} holds another training; train geneface.{training} into another folder")
    return found[network]


def _trained_head(folder: Path) -> Head:
    return "adnerf" if (folder / "adnerf" / FILE_NAME).is_file() else "nerf-head"
