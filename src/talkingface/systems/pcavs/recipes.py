"""The trainings that `talkingface train pcavs.…` offers, from a folder of crops (`prepare.prepare_crops`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from talkingface.core.config import to_dict
from talkingface.core.device import likes_bfloat16, pick_device
from talkingface.core.weights import save_weights
from talkingface.systems.pcavs.compact.pipeline import make_compact, reenact_recipe
from talkingface.systems.pcavs.data.crops import CropClip, crop_clips, make_crops
from talkingface.systems.pcavs.official.angles import with_angles
from talkingface.systems.pcavs.official.config import OfficialConfig
from talkingface.systems.pcavs.official.generator_stage import GeneratorRecipe
from talkingface.systems.pcavs.official.networks.build import earlier_networks
from talkingface.systems.pcavs.official.networks.vgg import vgg19, vgg_face
from talkingface.systems.pcavs.official.stages import IdentityRecipe, SyncRecipe
from talkingface.training.recipe import Recipe
from talkingface.training.trainer import Trainer

SEED = 1
PARTS = ("identity", "nonidentity", "speech", "generator")
"""What drawing needs of a training."""

RECIPES: dict[str, Callable[[Any, Path], Recipe]] = {
    "reenact": lambda config, data: reenact_recipe(_clips(data, "train"), _strangers(data), config),
    "identity": lambda config, data: stage_recipe("identity", config.official, data),
    "sync": lambda config, data: stage_recipe("sync", config.official, data),
    "generator": lambda config, data: stage_recipe("generator", config.official, data),
}
"""Recipe name -> recipe for a config and a folder of crops. `official.training.begin` names what it goes on from."""


def stage_recipe(stage: str, config: OfficialConfig, data: Path, begin: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of one stage; `begin` (network name -> state) adds to what the config names to go on from."""
    begin = {**earlier_networks(config.training.begin), **(begin or {})}
    train, judge = _clips(data, "train"), _clips(data, "val")
    if stage == "identity":
        return IdentityRecipe(train, config, validation=train, begin=begin)
    if stage == "sync":
        return SyncRecipe(train, config, validation=judge, begin=begin)
    vgg, face = perceptual_of(begin)
    return GeneratorRecipe(train, config, validation=judge, begin=begin, vgg=vgg, vgg_face=face)


def perceptual_of(begin: Mapping[str, Mapping[str, Tensor]]) -> tuple[Any, Any]:
    """The perceptual networks among imported weights, or None for those that are not there."""
    return _filled(vgg19, begin.get("vgg")), _filled(vgg_face, begin.get("vgg_face"))


def _filled(make: Callable[[], nn.Module], state: Mapping[str, Tensor] | None) -> nn.Module | None:
    if state is None:
        return None
    network = make()
    network.load_state_dict(state, strict=False)  # counters of batches are not imported
    return network


def _clips(data: Path, split: str) -> list[CropClip]:
    return list(crop_clips(data, split=split))


def _strangers(data: Path) -> list[CropClip]:
    people = {clip.person for clip in _clips(data, "train")}
    return [clip for clip in _clips(data, "val") if clip.person not in people]


def train_official(data: Path, folder: Path, config: OfficialConfig) -> Path:
    """All three stages from a folder of crops `data`, each from the averaged networks of the one before.

    What is finished in `folder` is skipped, what was interrupted goes on. Returns the folder of the weights.
    """
    started, metrics, states = time.time(), dict[str, float](), dict[str, dict[str, Tensor]]()
    training = config.training
    stages = {"identity": training.identity_steps, "sync": training.sync_steps, "generator": training.generator_steps}
    for stage, steps in stages.items():
        recipe = stage_recipe(stage, config, data, states)
        trainer = Trainer(
            recipe, folder / stage, steps=steps, seed=SEED,
            precision="bf16" if likes_bfloat16(pick_device()) else "32",
            evaluate_every=max(1, steps // 10), preview_every=max(1, steps // 10),
        )  # fmt: skip
        metrics |= {f"{stage}.{name}": round(value, 3) for name, value in trainer.run().metrics.items()}
        states |= trainer.averaged()
    assert isinstance(recipe, GeneratorRecipe)
    tensors = {
        f"{part}.{name}": value.cpu().numpy()
        for part in PARTS
        for name, value in states[part].items()
        if not name.endswith("num_batches_tracked") and not name.startswith("fc.")
    }
    card = {
        "name": "pcavs.trained",
        "system": "pcavs",
        "version": 1,
        "licence": "that of the training clips",
        "allows": "what the licences of the training clips allow",
        "data": f"{len(recipe.material)} clips of {len(recipe.material.people)} people",
        "origin": _origin(recipe),
        "paper": "arXiv 2104.11116",
        "command": "talkingface train pcavs.official DATA -o FOLDER",
        "steps": stages,
        "seed": SEED,
        "metrics": metrics,
        "config": {"official": {"sizes": to_dict(config.sizes)}},
        "trained_s": round(time.time() - started),
    }
    return save_weights(folder / "weights" / "pcavs.trained", tensors, card).folder


def _origin(recipe: GeneratorRecipe) -> str:
    """Whose networks had a part in it."""
    used = [name for name in ("vgg_face", "vgg") if f"{name.removeprefix('vgg_')}_heard" in recipe.loss_weights]
    matched = f"perceptual losses by imported networks: {', '.join(used)}" if used else (
        "no perceptual loss by outside networks: the discriminator's features and the picture itself are matched"
    )  # fmt: skip
    return f"trained by this program; {matched}"


def _with_angles(weights: str | Path, data: Path, folder: Path, name: str) -> Path:
    return with_angles(weights, make_crops(data, folder), folder / "prepared", folder / "weights" / name)


PIPELINES: dict[str, Callable[[Path, Path], Path]] = {
    "compact": make_compact,
    "official": lambda data, folder: _with_angles(
        train_official(make_crops(data, folder), folder, OfficialConfig()), data, folder, "pcavs.trained"
    ),
    "official-angles": lambda data, folder: _with_angles("pcavs.official", data, folder, "pcavs.official"),
}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
