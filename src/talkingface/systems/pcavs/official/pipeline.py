"""From crops to weights of the published networks: the three stages, and the angles that imported weights lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from talkingface.core.cache import user_path
from talkingface.core.config import from_dict, to_dict, upgrade
from talkingface.core.device import likes_bfloat16, pick_device
from talkingface.core.progress import report_progress
from talkingface.core.weights import find_weights, load_weights, save_weights
from talkingface.face.morphable import load_mesh478
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip, crop_clips, make_crops
from talkingface.systems.pcavs.official.config import OfficialConfig
from talkingface.systems.pcavs.official.generator_stage import GeneratorRecipe
from talkingface.systems.pcavs.official.inference import OfficialVariant
from talkingface.systems.pcavs.official.networks.build import PARTS, RENAMED_PARTS, parts_of
from talkingface.systems.pcavs.official.networks.vgg import vgg19, vgg_face
from talkingface.systems.pcavs.official.pose.pose_features import FEATURE_UNITS, crop_features
from talkingface.systems.pcavs.official.pose.pose_map import PoseMap, regress_pose_map
from talkingface.systems.pcavs.official.stages import IdentityRecipe, SyncRecipe
from talkingface.training.checkpoint import FILE_NAME, load_networks
from talkingface.training.head_motion_fit import train_head_motion
from talkingface.training.pipeline import Stage, Terms, Trained, make_card, run_stages, save_made
from talkingface.training.recipe import Recipe

SEED = 1
MAP_FRAMES = 24


def stage_recipe(stage: str, config: OfficialConfig, crops: Path, begin: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of one stage; `begin` (network name -> state) adds to what the config names to go on from."""
    begin = {**earlier_networks(config.training.begin), **(begin or {})}
    train, held_out = (list(crop_clips(crops, split=split)) for split in ("train", "val"))
    if stage == "identity":
        return IdentityRecipe(train, config, validation=train, begin=begin)
    if stage == "sync":
        return SyncRecipe(train, config, validation=held_out, begin=begin)
    vgg, face = (_filled(make, begin.get(name)) for name, make in (("vgg", vgg19), ("vgg_face", vgg_face)))
    return GeneratorRecipe(train, config, validation=held_out, begin=begin, vgg=vgg, vgg_face=face)


def earlier_networks(names: tuple[str, ...]) -> dict[str, dict[str, Tensor]]:
    """Network name -> state, of folders of trainings (their averages) and of weights; later ones win.

    Raises InputError or WeightsError for what cannot be read.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for name in names:
        folder = user_path(name)
        if (folder / FILE_NAME).is_file():
            found |= {RENAMED_PARTS.get(part, part): state for part, state in load_networks(folder).items()}
        else:
            found |= parts_of(load_weights(find_weights(name)).tensors)
    return found


def _filled(make: Callable[[], Any], state: Mapping[str, Tensor] | None) -> Any:
    """A perceptual network, or None if its weights were not imported."""
    if state is None:
        return None
    network: nn.Module = make()
    network.load_state_dict(state, strict=False)  # counters of batches are not imported
    return network


def train_official(crops: Path, folder: Path, config: OfficialConfig) -> Path:
    """All three stages from a folder of `crops`, each from the averaged networks of the ones before.

    Finished ones in `folder` are skipped, interrupted ones go on. Returns the folder of the weights.
    """
    training = config.training
    steps = {"identity": training.identity_steps, "sync": training.sync_steps, "generator": training.generator_steps}
    stages = [
        Stage(
            name=name, steps=count, settings=to_dict(config),
            make=lambda done, name=name: stage_recipe(name, config, crops, _networks(done)),
            options={"evaluate_every": max(1, count // 10), "preview_every": max(1, count // 10)},
        )
        for name, count in steps.items()
    ]  # fmt: skip
    precision = "bf16" if likes_bfloat16(pick_device()) else "32"
    done = run_stages(folder, stages, seed=SEED, precision=precision)
    # drawing needs no counters of batches and no classifiers
    tensors = {
        f"{part}.{name}": value.numpy()
        for part in PARTS
        for name, value in done["generator"].networks[part].items()
        if not name.endswith("num_batches_tracked") and not name.startswith("fc.")
    }
    people = [clip.person for clip in crop_clips(crops, split="train") if clip.speaks]
    outside = [name for name in ("vgg_face", "vgg") if name in earlier_networks(training.begin)]
    matched = f"perceptual losses by imported networks: {', '.join(outside)}" if outside else (
        "no perceptual loss by outside networks: the discriminator's features and the picture itself are matched"
    )  # fmt: skip
    card = make_card(
        "pcavs.trained", done, seed=SEED, config={"official": {"sizes": to_dict(config.sizes)}},
        terms=Terms("that of the training clips", "what the licences of the training clips allow"),
        data=f"{len(people)} clips of {len(set(people))} people",
        held_back="all val people",
        origin=f"trained by this program; {matched}",
        command="talkingface train pcavs.official DATA -o FOLDER",
        system="pcavs",
        paper="arXiv 2104.11116",
    )  # fmt: skip
    return save_made(folder, tensors, card)


def _networks(done: Mapping[str, Trained]) -> dict[str, Mapping[str, Tensor]]:
    return {name: state for trained in done.values() for name, state in trained.networks.items()}


def make_trained(data: Path, folder: Path) -> Path:
    """Weights `pcavs.trained` from a data folder, angles included."""
    crops = make_crops(data, folder)
    return add_angles(train_official(crops, folder, OfficialConfig()), crops, folder, "pcavs.trained")


def make_angles(data: Path, folder: Path) -> Path:
    """The imported weights `pcavs.official` with a map of angles fitted to a data folder."""
    return add_angles("pcavs.official", make_crops(data, folder), folder, "pcavs.official")


def add_angles(weights: str | Path, crops: Path, folder: Path, name: str) -> Path:
    """`weights` (a name or a folder) with a pose map and a head motion, learned from `crops` and the clips prepared in
    `folder` (`data.crops.make_crops`). Returns the new weights' folder. Raises WeightsError, InputError."""
    loaded = load_weights(find_weights(weights))
    config = from_dict(PcavsConfig, upgrade(loaded.card.get("config", {}), PcavsConfig))
    # E as it runs in use, in its precision there
    variant = OfficialVariant(config, loaded.tensors, pick_device())
    tensors = dict(loaded.tensors)
    tensors |= official_pose_map(list(crop_clips(crops, split="train")), variant).tensors()
    tensors |= train_head_motion(folder / "prepared", load_mesh478(), free_only=False)
    card = {**loaded.card, "angles": "learned from tracked clips"}
    return save_weights(folder / "weights" / name, tensors, card).folder


def official_pose_map(clips: Sequence[CropClip], variant: OfficialVariant) -> PoseMap:
    """The pose map of E from frames whose poses are known, `MAP_FRAMES` of each clip."""
    codes, features = [], []
    for number, clip in enumerate(clips):
        report_progress("mapping poses", number, len(clips))
        usable = np.flatnonzero(clip.weight > 0)
        if len(usable) < 2:
            continue
        chosen = usable[np.unique(np.linspace(0, len(usable) - 1, MAP_FRAMES).astype(int))]
        own, measured = variant.encode_poses(clip.frames(chosen)), crop_features(clip)[chosen]
        # about the person's mean: what is left between people is not pose
        codes.append(own - own.mean(axis=0))
        features.append(measured - measured.mean(axis=0))
    return regress_pose_map(np.concatenate(codes), np.concatenate(features), FEATURE_UNITS)
