"""`portrait` without its painter: the photo is only warped. What painting adds is measured against this."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talkingface.core.types import Avatar, Controls, Frames, Motion
from talkingface.systems.portrait.config import PainterConfig
from talkingface.systems.portrait.mend import Mender, View
from talkingface.systems.portrait.photo import PhotoRenderer
from talkingface.systems.portrait.rig import load_rig


class _NoPainter(Mender):
    """A painter that changes nothing."""

    def __init__(self, config: PainterConfig) -> None:
        self.config = config

    def changes(self, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
        half, (width, height) = self.config.crop_px // 2, self.config.mouth_px
        return np.zeros((len(views), half, half, 4), np.float32), np.zeros((len(views), height, width, 3), np.float32)


def bare_warp(avatar: Avatar, motions: Iterator[Motion], config: PainterConfig) -> Iterator[Frames]:
    """Pictures of an avatar made from a photo, moved by `motions` and not painted."""
    t = avatar.tensors
    matte = t["matte"].astype(np.float32) / 255
    renderer = PhotoRenderer(t["rgb"], t["landmarks"], matte, load_rig(t), _NoPainter(config), Controls())
    return renderer.frames(motions)
