"""Published weights learn angles: a pose map and a head motion for weights that came without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from talkingface.core.config import from_dict
from talkingface.core.device import pick_device
from talkingface.core.weights import find_weights, load_weights, save_weights
from talkingface.face.morphable import load_mesh478
from talkingface.systems.pcavs.compact.data import map_poses
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip, crop_clips
from talkingface.systems.pcavs.official.inference import OfficialTalker
from talkingface.systems.pcavs.pose.pose_map import PoseMap
from talkingface.training.head_motion_fit import train_head_motion


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
    return map_poses(clips, config.compact, lambda clip, frames, rows: talker.pose_of(clip.frames(frames)))
