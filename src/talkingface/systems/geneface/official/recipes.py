"""The trainings of the published form by name, each on one person: from a folder to a recipe.

A person's folder has what `material.take_apart` leaves in `field/`, and finished trainings beside it under their names:

    talkingface train geneface.head PERSON -o PERSON/head --config official --steps 250000
    talkingface train geneface.torso PERSON -o PERSON/torso --config official --steps 250000

So has the working folder of a fit. A folder that holds nothing but one video is prepared first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.system import Weights
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.morphable import load_mesh478
from talkingface.metrics.lpips import weights_name
from talkingface.metrics.networks import with_weights
from talkingface.nn.lpips import Lpips
from talkingface.nn.state import tensors_of
from talkingface.person.clip import CLIP, ClipSettings, prepare_person, splits
from talkingface.systems.geneface.config import OfficialConfig
from talkingface.systems.geneface.official.conditions import ClipConditions, landmark_conditions, speech_conditions
from talkingface.systems.geneface.official.field_recipe import HeadRecipe, TorsoRecipe
from talkingface.systems.geneface.official.material import RECORD, FieldClip, take_apart
from talkingface.systems.geneface.official.vanilla_recipe import Head, NerfHeadRecipe, NerfTorsoRecipe, load_head
from talkingface.training.checkpoint import FILE_NAME, load_networks
from talkingface.training.recipe import Recipe

IMPORTED = "geneface.official"
"""What `weights import geneface` calls its weights."""
FIELD = "field"
"""Where in a person's folder the clip lies that was taken apart."""
TEST_SHARE = 1 / 11
"""Of a clip: its end, on which the published trainings are judged."""
_VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
FEATURES = "features.npy"
"""Speech features from outside, in the person's folder: they take the place of the toolkit's tokens."""


def head_recipe(config: OfficialConfig, folder: Path) -> HeadRecipe:
    """The radiance field of the head, driven by landmarks."""
    clip = open_person(config, folder)
    conditions = landmark_conditions(clip.landmarks, clip.range)
    return HeadRecipe(clip, config.renderer, config.training, conditions, stored_lpips())


def radnerf_recipe(config: OfficialConfig, folder: Path) -> HeadRecipe:
    """The same driven straight from sound: RAD-NeRF."""
    clip = open_person(config, folder)
    recipe = HeadRecipe(clip, config.renderer, config.training, _speech(clip), stored_lpips())
    recipe.name = "geneface.radnerf"
    return recipe


def torso_recipe(config: OfficialConfig, folder: Path) -> TorsoRecipe:
    """The torso beside the head that was trained in the folder."""
    clip = open_person(config, folder)
    conditions = landmark_conditions(clip.landmarks, clip.range)
    return TorsoRecipe(clip, config.renderer, config.training, conditions, _trained(folder, "head", "field"))


def nerf_head_recipe(config: OfficialConfig, folder: Path) -> NerfHeadRecipe:
    """The head of the paper's renderer."""
    clip = open_person(config, folder)
    return NerfHeadRecipe("nerf-head", clip, config.training, landmark_conditions(clip.landmarks, clip.range))


def adnerf_recipe(config: OfficialConfig, folder: Path) -> NerfHeadRecipe:
    """AD-NeRF's head, driven by speech."""
    clip = open_person(config, folder)
    return NerfHeadRecipe("adnerf", clip, config.training, _speech(clip))


def nerf_torso_recipe(config: OfficialConfig, folder: Path) -> NerfTorsoRecipe:
    """The torso before the vanilla head or AD-NeRF's, whichever was trained in the folder."""
    clip = open_person(config, folder)
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


def open_person(config: OfficialConfig, folder: Path) -> FieldClip:
    """The clip that was taken apart in a person's folder, or its only video, prepared and taken apart now.

    Raises InputError, and what `person.clip.prepare_person` does for a clip that is not fit.
    """
    if (folder / FIELD / RECORD).is_file():
        return FieldClip.load(folder / FIELD)
    inside = sorted(folder.glob("*")) if folder.is_dir() else []
    videos = [path for path in inside if path.suffix.lower() in _VIDEOS and path.name != CLIP]
    if len(videos) != 1:
        raise InputError(f"{folder} must be a folder with one video of the person, not {len(videos)}")
    model = load_mesh478()
    clip = prepare_person(videos[0], folder, model, ClipSettings(least_s=config.training.least_s, free_views=True))
    train, test = splits(len(clip), len(clip), round(TEST_SHARE * len(clip)), None)
    return take_apart(clip, folder / FIELD, model, config.view_px, train, test)


def stored_lpips(weights: Weights | None = None) -> Lpips | None:
    """LPIPS of imported weights (`weights`, or those of the store by their usual names), or None."""
    for found in (weights, _stored(IMPORTED)):
        if found is not None and (state := tensors_of(found.tensors, "lpips")):
            network = Lpips("alex")
            network.load_state_dict(state, strict=False)  # the scaling is the same everywhere
            return network
    try:
        return with_weights(Lpips("alex"), weights_name("alex")).cpu()
    except WeightsError:
        return None


def _stored(name: str) -> Weights | None:
    try:
        return load_weights(find_weights(name))
    except WeightsError:
        return None


def _speech(clip: FieldClip) -> ClipConditions:
    features = clip.folder.parent / FEATURES
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
