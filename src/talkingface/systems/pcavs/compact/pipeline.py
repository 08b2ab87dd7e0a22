"""From a data folder to `pcavs.compact`: the recorded recipe of the shipped weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from talkingface.clips.manifest import prepared_clips
from talkingface.core.config import to_dict
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
from talkingface.training.pipeline import (
    OWN_ORIGIN,
    RESEARCH,
    Stage,
    Trained,
    held_back_of,
    make_card,
    run_stages,
    save_made,
)
from talkingface.training.recipe import Recipe

STEPS = {"reenact": 8000, "mouths": 8500, "speech": 600}
MOUTHS_FROM, ADVERSARIAL_FROM = 3000, 5600
"""Steps of the first round, see `ReenactRecipe`."""
SEED = 1
BATCH = 12
Voice = Callable[[CropClip], np.ndarray]
"""The sound of a clip, float32 [N] at 16 kHz from its first frame on."""
UNSURE_SOUND = ("quiz_elisha",)
"""People whose listed lag is wrong: their sound is not used."""


def make_compact(data: Path, folder: Path) -> Path:
    """Every stage; finished ones in `folder` are skipped, interrupted ones go on. Returns the weights folder."""
    crops, prepared = make_crops(data, folder), folder / "prepared"
    config = preset("compact")
    train, held_out = train_and_held_out(crops)
    done = train_compact(train, held_out, folder / "pcavs-compact", config, prepared_voices(prepared))
    networks = drawing_networks(done, config)
    found = compact_pose_map(train, networks.pose, config).tensors()
    found |= train_head_motion(prepared, load_mesh478(), free_only=False)
    tensors = named("speech", arrays(done["speech"].networks["speech"]))
    for name in DRAWING:
        tensors |= named(name, arrays(done["mouths"].networks[name]))
    tensors |= {name: value.astype(np.float16) for name, value in found.items()}
    card = make_card(
        "pcavs.compact", done, terms=RESEARCH, seed=SEED, config=config,
        data=f"{len(train)} train clips of {len({clip.person for clip in train})} people, word clips of anchors among "
        "them",
        held_back=f"{held_back_of(prepared_clips(prepared, 'train'))}, and all val people",
        origin=f"{OWN_ORIGIN}; no outside networks but those that {config.compact.encoder} began with: a discriminator "
        "that was trained along stands in for VGG19 and VGGFace, measured points and landmark networks of lips and "
        "lids for FAN, and identity is learned with the picture",
        system=SPEC.name,
        version=3,
        paper="arXiv 2104.11116",
        can="move a face by the head pose of any video and by any voice, with the photo's own sharpness",
        cannot="turn heads far: from about 25 degrees on cheeks and ears stretch; draw teeth sharply; close eyes or "
        "move a gaze",
    )  # fmt: skip
    return save_made(folder, tensors, card)


def train_and_held_out(crops: Path) -> tuple[list[CropClip], list[CropClip]]:
    """The train clips of a folder of crops, and the val clips of other people."""
    train = list(crop_clips(crops, split="train"))
    people = {clip.person for clip in train}
    return train, [clip for clip in crop_clips(crops, split="val") if clip.person not in people]


def prepared_voices(prepared: Path) -> Voice:
    """The sound of clips of a prepared folder."""
    found = {clip.slug: clip for clip in prepared_clips(prepared)}
    return lambda clip: found[clip.slug].load_samples()


def train_compact(
    train: Sequence[CropClip], held_out: Sequence[CropClip], folder: Path, config: PcavsConfig, voice: Voice,
    steps: Mapping[str, int] = STEPS,
) -> dict[str, Trained]:  # fmt: skip
    """The three trainings in `folder`: heads, then mouths and eyes, then speech."""
    convolutions = {"precision": "bf16", "channels_last": True}

    def reenact(done: Mapping[str, Trained]) -> Recipe:
        return reenact_recipe(train, held_out, config)

    def mouths(done: Mapping[str, Trained]) -> Recipe:
        return MouthsRecipe(train, config, done["reenact"].networks, held_out=held_out, batch_size=BATCH)

    def speech(done: Mapping[str, Trained]) -> Recipe:
        return speech_recipe(train, held_out, drawing_networks(done, config).mouth, config, voice)

    def stage(make: Callable[[Mapping[str, Trained]], Recipe], **options: Any) -> Stage:
        count = steps[make.__name__]
        often = {"evaluate_every": max(1, count // 8), "preview_every": max(1, count // 8)}
        # with other ones the folder's stage is another training, and is refused
        settings = {"config": to_dict(config), "batch": BATCH}
        return Stage(name=make.__name__, steps=count, make=make, settings=settings, options={**often, **options})

    stages = [stage(reenact, **convolutions), stage(mouths, **convolutions), stage(speech)]
    return run_stages(folder, stages, seed=SEED, ema_decay=0.998, checkpoint_every_s=180)


def drawing_networks(done: Mapping[str, Trained], config: PcavsConfig) -> CompactNetworks:
    """The networks that pictures trained; speech is new."""
    networks = CompactNetworks(config.codes, config.compact)
    for name in DRAWING:
        networks.get_submodule(name).load_state_dict(done["mouths"].networks[name])
    return networks


def reenact_recipe(train: Sequence[CropClip], held_out: Sequence[CropClip], config: PcavsConfig) -> ReenactRecipe:
    """The first round."""
    return ReenactRecipe(
        train, config, held_out=held_out, mouths_from=MOUTHS_FROM, adversarial_from=ADVERSARIAL_FROM, batch_size=BATCH
    )


def speech_recipe(
    train: Sequence[CropClip], held_out: Sequence[CropClip], mouth: MouthNet, config: PcavsConfig, voice: Voice
) -> SpeechRecipe:
    """Sound to the codes of the trained network `mouth`."""
    mouth.eval()
    readout = mouth.facts.weight.detach().numpy(), mouth.facts.bias.detach().numpy()
    usable = [clip for clip in train if clip.person not in UNSURE_SOUND]
    clips, others = (list(encode_mouths(clips, mouth, config, voice)) for clips in (usable, held_out))
    return SpeechRecipe(clips, config, readout, held_out=others, seed=SEED)


def compact_pose_map(clips: Sequence[CropClip], net: PoseNet, config: PcavsConfig) -> PoseMap:
    """The pose map of the trained pose network from frames whose poses are known."""
    net.eval()

    @torch.no_grad()
    def encode(clip: CropClip, frames: np.ndarray, rows: list[dict[str, Any]]) -> np.ndarray:
        return net(signed_pictures(torch.from_numpy(np.stack([row["pose"] for row in rows])))).float().numpy()

    return fit_pose_map(clips, config.compact, encode)
