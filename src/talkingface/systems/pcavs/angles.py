"""Published weights learn angles: a pose map and a head motion for weights that came without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talkingface.core.config import from_dict
from talkingface.core.device import pick_device
from talkingface.core.progress import tell
from talkingface.core.weights import find_weights, load_weights, save_weights
from talkingface.face.morphable import load_mesh478
from talkingface.systems.pcavs.compact_data import Pairs
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.official import OfficialTalker
from talkingface.systems.pcavs.pose_map import FACT_UNITS, PoseMap, learn_pose_map
from talkingface.systems.pcavs.prepare import CropClip, crop_clips
from talkingface.training.head_motion_fit import train_head_motion

FRAMES = 24
"""Of each clip."""


def with_angles(weights: str | Path, crops: Path, prepared: Path, folder: Path) -> Path:
    """`weights` (a name or a folder) with a pose map and a head motion, written to `folder`, which is returned.

    `crops` and `prepared` are folders of training clips (`prepare.make_crops`). Raises WeightsError, InputError.
    """
    loaded = load_weights(find_weights(weights))
    config = from_dict(PcavsConfig, loaded.card.get("config", {}))
    talker = OfficialTalker(config, loaded.tensors, pick_device())
    tensors = dict(loaded.tensors)
    tensors |= official_pose_map(list(crop_clips(crops, split="train")), talker, config).tensors()
    tensors |= train_head_motion(prepared, load_mesh478(), free_only=False)
    return save_weights(folder, tensors, {**loaded.card, "angles": "learned from tracked clips"}).folder


def official_pose_map(clips: Sequence[CropClip], talker: OfficialTalker, config: PcavsConfig) -> PoseMap:
    """What E says of frames whose poses are known."""
    pairs = Pairs(clips, config.compact, augmented=False)
    codes, facts = [], []
    for number in range(len(pairs)):
        tell("reading poses", number, len(pairs))
        frames = pairs.some_frames(number, FRAMES)
        said = talker.pose_of(pairs.clip(number).frames(frames))
        true = np.stack([pairs.pair(number, int(frame), int(frame))["pose_facts"] for frame in frames])
        codes.append(said - said.mean(axis=0))
        facts.append(true - true.mean(axis=0))
    return learn_pose_map(np.concatenate(codes), np.concatenate(facts), FACT_UNITS)
