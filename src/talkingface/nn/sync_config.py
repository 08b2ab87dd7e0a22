"""Sizes of the sync expert's network; without torch, whose import takes longer than scoring a clip."""

from __future__ import annotations

from dataclasses import dataclass

SHAPE_GAIN = 15.0
"""Lip movements are about a fifteenth of the distance between the eyes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncConfig:
    """Sizes of `SyncNet`."""

    width: int = 128
    """Channels at frame rate."""
    front: int = 96
    """Channels at the rate of mel columns."""
    pictures: tuple[int, ...] = (12, 24)
    """Channels of the picture's convolutions, each of which halves it."""
    parts: int = 64
    """Values that picture and shape are reduced to, each."""
    dim: int = 64
    """Length of the vectors that are compared."""
    audio_dilations: tuple[int, ...] = (1, 2, 1, 2)
    visual_dilations: tuple[int, ...] = (1, 2, 1)
    bands: int = 80
    columns: int = 4
    """Mel columns a frame."""
    points: int = 56
    crop_hw: tuple[int, int] = (24, 40)


TINY = SyncConfig(width=8, front=6, pictures=(2, 3), parts=6, dim=5, audio_dilations=(1,), visual_dilations=(1,))
"""For tests."""
