"""From a data folder to `pcavs.compact`: the recorded recipe of the shipped weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from talkingface.clips.manifest import prepared_clips
from talkingface.core.config import to_dict
from talkingface.face.morphable import load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.systems.pcavs import SPEC
from talkingface.systems.pcavs.compact.mouth_recipe import MouthRecipe, clip_codes
from talkingface.systems.pcavs.compact.mouths import MouthClip, mouth_clips
from talkingface.systems.pcavs.compact.networks import MouthNet
from talkingface.systems.pcavs.compact.speech_recipe import SpeechRecipe
from talkingface.systems.pcavs.config import CompactConfig, preset
from talkingface.systems.pcavs.data.crops import make_crops
from talkingface.training.head_motion_fit import train_head_motion
from talkingface.training.pipeline import RESEARCH, Stage, Trained, held_back_of, make_card, run_stages, save_made
from talkingface.training.recipe import Recipe

STEPS = {"mouth": 1000, "speech": 600}
SEED = 1
UNSURE_SOUND = ("quiz_elisha",)
"""People whose listed lag is wrong: their sound is not used."""


def make_compact(data: Path, folder: Path) -> Path:
    """Every stage; finished ones in `folder` are skipped, interrupted ones go on. Returns the weights folder."""
    crops, prepared = make_crops(data, folder), folder / "prepared"
    config = preset("compact")
    train, held_out = train_and_held_out(crops, prepared, config.compact)
    done = train_compact(train, held_out, folder / "pcavs-compact", config.compact)
    mouth = _mouth_net(done, config.compact)
    tensors = {part: arrays(done[part].networks[part]) for part in STEPS}
    weights = {name: value for part, state in tensors.items() for name, value in named(part, state).items()}
    weights["rest"] = rest_code(train, mouth, config.compact)
    head_motion = train_head_motion(prepared, load_mesh478(), free_only=False)
    weights |= {name: value.astype(np.float16) for name, value in head_motion.items()}
    card = make_card(
        "pcavs.compact", done, terms=RESEARCH, seed=SEED, config=config,
        data=f"{len(train)} train clips of {len({clip.person for clip in train})} people, word clips of anchors among "
        "them",
        held_back=f"{held_back_of(prepared_clips(prepared, 'train'))}, and all val people",
        system=SPEC.name,
        version=4,
        paper="arXiv 2104.11116",
        can="move a face by the head pose of any video and by any voice or mouth, with the photo's own pixels",
        cannot="turn heads further than a photo shows, about 24 degrees; what the refiner of portrait cannot",
    )  # fmt: skip
    return save_made(folder, weights, card)


def train_and_held_out(crops: Path, prepared: Path, config: CompactConfig) -> tuple[list[MouthClip], list[MouthClip]]:
    """The train clips, and the val clips of other people."""
    train, val = (list(mouth_clips(crops, prepared, config.mouth_px, split)) for split in ("train", "val"))
    people = {clip.person for clip in train}
    return train, [clip for clip in val if clip.person not in people]


def train_compact(
    train: Sequence[MouthClip], held_out: Sequence[MouthClip], folder: Path, config: CompactConfig,
    steps: Mapping[str, int] = STEPS,
) -> dict[str, Trained]:  # fmt: skip
    """Both trainings in `folder`: mouths that are seen, then speech."""

    def mouth(done: Mapping[str, Trained]) -> Recipe:
        return MouthRecipe(train, config, held_out=held_out)

    def speech(done: Mapping[str, Trained]) -> Recipe:
        usable = [clip for clip in train if clip.person not in UNSURE_SOUND]
        return SpeechRecipe(usable, config, _mouth_net(done, config), held_out=held_out, seed=SEED)

    convolutions = {"precision": "bf16", "channels_last": True}
    stages = [
        Stage(
            name=make.__name__, steps=steps[make.__name__], make=make, settings={"config": to_dict(config)},
            options={"evaluate_every": max(1, steps[make.__name__] // 8), **options},
        )
        for make, options in ((mouth, convolutions), (speech, {}))
    ]  # fmt: skip
    return run_stages(folder, stages, seed=SEED, ema_decay=0.998, checkpoint_every_s=120)


def rest_code(clips: Sequence[MouthClip], net: MouthNet, config: CompactConfig) -> np.ndarray:
    """The mean code float32 [C] of mouths at rest: for a driver of whom only one picture is known."""
    return np.mean([clip_codes(clip, net, config, about_rest=False)[clip.quiet].mean(axis=0) for clip in clips], axis=0)


def _mouth_net(done: Mapping[str, Trained], config: CompactConfig) -> MouthNet:
    net = MouthNet(config)
    net.load_state_dict(done["mouth"].networks["mouth"])
    return net.eval().requires_grad_(False)
