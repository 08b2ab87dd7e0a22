"""Training clips of the published networks, and pictures for batches as functions of a random generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from talkingface.core.errors import InputError
from talkingface.systems.pcavs.alignment.crop import loader_crop
from talkingface.systems.pcavs.official.augment import draw_augmentation


class TrainingClip(Protocol):
    """A clip of one person at 25 frames a second; `data.crops.CropClip` is one."""

    @property
    def person(self) -> str:
        """Who is seen."""
        ...

    @property
    def weight(self) -> np.ndarray:
        """float32 [T]: 0 for frames that must not be trained on."""
        ...

    @property
    def speaks(self) -> bool:
        """Whether the sound is this face's."""
        ...

    def frames(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Crops as stored, uint8 [K, 224, 224, 3]."""
        ...

    def mel_windows(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Mel windows, float32 [K, 1, 80, 20]."""
        ...


class ClipSet:
    """Clips, their usable frames, and the numbers of their people (by sorted names, so alike in all processes).

    `speaking` keeps only clips with their own sound; clips with fewer than `least_frames` usable frames are left out.
    Raises InputError if none is left.
    """

    def __init__(self, clips: Sequence[TrainingClip], *, speaking: bool, least_frames: int = 2) -> None:
        usable = [(clip, np.flatnonzero(clip.weight > 0)) for clip in clips if clip.speaks or not speaking]
        kept = [(clip, frames) for clip, frames in usable if len(frames) >= least_frames]
        if not kept:
            raise InputError(
                f"none of {len(clips)} clips has {least_frames} usable frames{' of its own speech' if speaking else ''}"
            )
        self.clips, self.usable = [clip for clip, _ in kept], [frames for _, frames in kept]
        self.people = sorted({clip.person for clip in self.clips})
        self.labels = np.array([self.people.index(clip.person) for clip in self.clips])

    def __len__(self) -> int:
        return len(self.clips)

    def choose(self, rng: np.random.Generator, count: int) -> list[int]:
        """So many clips of as many people as there are, none twice as long as there are others.

        People are mixed first because two clips of one person are poor negatives of each other.
        """
        people = rng.permutation(len(self.people))
        chosen: list[int] = []
        for k in range(count):
            own = np.flatnonzero(self.labels == people[k % len(people)])
            unused = [clip for clip in own if clip not in chosen] or [c for c in range(len(self)) if c not in chosen]
            chosen.append(int(rng.choice(unused or own)))
        return chosen


def evenly(clips: Sequence[TrainingClip], most: int) -> list[TrainingClip]:
    """At most so many of the clips, evenly chosen: what figures are taken from while training."""
    places = np.unique(np.linspace(0, len(clips) - 1, min(most, len(clips))).astype(int)) if clips else []
    return [clips[k] for k in places]


def sized(crops: np.ndarray, crop_px: int) -> np.ndarray:
    """Stored crops or augmented pictures uint8 [K, 224, 224, 3] in the networks' size: [K, S, S, 3]."""
    if crops.shape[1] == crop_px:
        return crops
    return np.stack([cv2.resize(crop, (crop_px, crop_px), interpolation=cv2.INTER_AREA) for crop in crops])


def to_planes(pictures: np.ndarray) -> Tensor:
    """uint8 [K, S, S, 3] -> [K, 3, S, S]."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


def to_signed(pictures: Tensor) -> Tensor:
    """uint8 pictures to float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def apart(rng: np.random.Generator, frames: np.ndarray, count: int, distance: int) -> np.ndarray:
    """`count` of the rising `frames`, at least `distance` places apart. Needs (count - 1) * distance + 1 of them."""
    room = len(frames) - (count - 1) * (distance - 1)
    places = np.sort(rng.choice(room, count, replace=False)) + np.arange(count) * (distance - 1)
    return frames[places]


def distant(rng: np.random.Generator, frames: np.ndarray, from_frames: np.ndarray, distance: int) -> int:
    """One of `frames` at least `distance` before or after `from_frames`, or the farthest if none is."""
    away = np.abs(frames[:, None] - from_frames[None]).min(axis=1)
    far = frames[away >= distance]
    return int(rng.choice(far)) if len(far) else int(frames[away.argmax()])


def driving_pictures(
    rng: np.random.Generator, clip: TrainingClip, numbers: np.ndarray, *, crop_px: int, augment: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Frames as they should be drawn, and augmented for E: uint8 [K, S, S, 3] both.

    The cut and enlarged crop is augmented, as the networks will get it, not the stored one.
    """
    crops = loader_crop(clip.frames(numbers))
    changed = draw_augmentation(rng, len(crops)).apply(crops) if augment else crops
    return sized(crops, crop_px), sized(changed, crop_px)
