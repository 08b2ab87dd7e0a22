"""From a data folder to `pcavs.compact`: the recorded recipe of the shipped weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talkingface.core.config import to_dict
from talkingface.core.weights import save_weights
from talkingface.face.morphable import load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.systems.pcavs import SPEC
from talkingface.systems.pcavs.compact.data import fit_pose_map
from talkingface.systems.pcavs.compact.mouth_recipe import MouthsRecipe
from talkingface.systems.pcavs.compact.networks import CompactNetworks, MouthNet, PoseNet, signed_pictures
from talkingface.systems.pcavs.compact.reenact_recipe import DRAWING, ReenactRecipe
from talkingface.systems.pcavs.compact.speech_recipe import SpeechRecipe, encode_mouths
from talkingface.systems.pcavs.config import PcavsConfig, preset
from talkingface.systems.pcavs.data.crops import CropClip, crop_clips, make_crops
from talkingface.systems.pcavs.pose.pose_map import PoseMap
from talkingface.training.head_motion_fit import train_head_motion
from talkingface.training.trainer import Trainer

REENACT_STEPS, MOUTHS_FROM, ADVERSARIAL_FROM = 8000, 3000, 5600
MOUTHS_STEPS, SPEECH_STEPS = 8500, 1500
SEED = 1
BATCH = 12
UNSURE_SOUND = ("quiz_elisha",)
"""People whose listed lag is wrong: nothing is learned from their sound."""


def make_compact(data: Path, folder: Path) -> Path:
    """Every stage; finished ones in `folder` are skipped, interrupted ones go on. Returns the weights folder."""
    started = time.time()
    return train_compact(make_crops(data, folder), folder / "prepared", folder, started)


def train_and_held_out(crops: Path) -> tuple[list[CropClip], list[CropClip]]:
    """The train clips of a folder of crops, and the val clips of other people."""
    train = list(crop_clips(crops, split="train"))
    people = {clip.person for clip in train}
    return train, [clip for clip in crop_clips(crops, split="val") if clip.person not in people]


def train_compact(crops: Path, prepared: Path, folder: Path, started: float) -> Path:
    """The stages after preparation."""
    config = preset("compact")
    train, held_out = train_and_held_out(crops)
    num_people = len({clip.person for clip in train})
    first, _ = run(reenact_recipe(train, held_out, config), folder / "pcavs-reenact", REENACT_STEPS, fast=True)
    second = MouthsRecipe(train, config, first, held_out=held_out, batch_size=BATCH)
    drawing, pictures = run(second, folder / "pcavs-mouths", MOUTHS_STEPS, fast=True)
    networks = CompactNetworks(config.codes, config.compact)
    for name in DRAWING:
        networks.get_submodule(name).load_state_dict(drawing[name])
    recipe = speech_recipe(train, held_out, networks.mouth, config)
    speech, sound = run(recipe, folder / "pcavs-speech", SPEECH_STEPS)
    tensors = named("speech", arrays(speech["speech"]))
    for name in DRAWING:
        tensors |= named(name, arrays(drawing[name]))
    found = compact_pose_map(train, networks.pose, config).tensors()
    found |= train_head_motion(prepared, load_mesh478(), free_only=False)
    tensors |= {name: value.astype(np.float16) for name, value in found.items()}
    card = {
        "name": "pcavs.compact",
        "system": SPEC.name,
        "version": 2,
        "licence": "research only",
        "allows": "research and evaluation; parts of the training clips have terms that exclude other use",
        "data": f"{len(train)} train clips of {num_people} people, word clips of anchors among them",
        "held_back": "frames 300 to 606 of person31, the last 20 s of anchor_en, and all val people",
        "origin": "trained by the talkingface project; no outside networks: a discriminator that was trained along "
        "stands in for VGG19 and VGGFace, measured points and landmark networks of lips and lids for FAN, and "
        "identity is learned with the picture",
        "paper": "arXiv 2104.11116",
        "can": "move a face by the head pose of any video and by any voice, with the photo's own sharpness",
        "cannot": "turn heads far: from about 25 degrees on cheeks and ears stretch; draw teeth sharply; close eyes or "
        "move a gaze",
        "command": "talkingface train pcavs.compact DATA -o FOLDER",
        "steps": {"reenact": REENACT_STEPS, "mouths": MOUTHS_STEPS, "speech": SPEECH_STEPS},
        "seed": SEED,
        "metrics": {name: round(value, 4) for name, value in {**pictures, **sound}.items()},
        "config": to_dict(config),
        "trained_s": round(time.time() - started),
    }  # fmt: skip
    return save_weights(folder / "weights" / "pcavs.compact", tensors, card).folder


def reenact_recipe(train: Sequence[CropClip], held_out: Sequence[CropClip], config: PcavsConfig) -> ReenactRecipe:
    """The first round."""
    return ReenactRecipe(
        train, config, held_out=held_out, mouths_from=MOUTHS_FROM, adversarial_from=ADVERSARIAL_FROM, batch_size=BATCH
    )


def speech_recipe(
    train: Sequence[CropClip], held_out: Sequence[CropClip], mouth: MouthNet, config: PcavsConfig
) -> SpeechRecipe:
    """Sound to the codes of the trained network `mouth`."""
    mouth.eval()
    readout = mouth.facts.weight.detach().numpy(), mouth.facts.bias.detach().numpy()
    usable = [clip for clip in train if clip.person not in UNSURE_SOUND]
    clips, others = (list(encode_mouths(clips, mouth, config)) for clips in (usable, held_out))
    return SpeechRecipe(clips, config, readout, held_out=others)


def compact_pose_map(clips: Sequence[CropClip], net: PoseNet, config: PcavsConfig) -> PoseMap:
    """The pose map of the trained pose network from frames whose poses are known."""
    net.eval()

    @torch.no_grad()
    def encode(clip: CropClip, frames: np.ndarray, rows: list[dict[str, Any]]) -> np.ndarray:
        return net(signed_pictures(torch.from_numpy(np.stack([row["pose"] for row in rows])))).float().numpy()

    return fit_pose_map(clips, config.compact, encode)


def run(
    recipe: Any, folder: Path, steps: int, fast: bool = False
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, float]]:
    """Averaged networks and last figures of a training, resumed if it was stopped. `fast`: as convolutions like it."""
    trainer = Trainer(
        recipe, folder, steps=steps, seed=SEED, device="auto", precision="bf16" if fast else "32", ema_decay=0.998,
        evaluate_every=max(1, steps // 8), preview_every=max(1, steps // 8), checkpoint_every_s=180,
        channels_last=fast,
    )  # fmt: skip
    metrics = dict(trainer.run().metrics)
    return trainer.averaged(), metrics
