"""Versions of the toy system that each break a promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from meter_system import SPEC
from meter_system.system import Bar, MeterSystem
from talkingface.core.errors import InputError
from talkingface.core.types import Frames, Motion


class _Broken(MeterSystem):
    def __init_subclass__(cls) -> None:
        cls.SPEC = replace(SPEC, factory=f"{__name__}:{cls.__name__}")


class Overwriting(_Broken):
    """Hands out one array again and again."""

    def make_renderer(self, avatar, controls):
        return _OneArray(super().make_renderer(avatar, controls))


class _OneArray:
    def __init__(self, inner: Bar) -> None:
        self._inner = inner

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        kept: np.ndarray | None = None
        for piece in self._inner.frames(motions, first):
            kept = piece.rgb if kept is None else kept
            kept[:] = piece.rgb
            yield replace(piece, rgb=kept)


class Splitting(_Broken):
    """Hears pieces, not the voice."""

    def motion_from_audio(self, avatar, pieces, controls):
        whole = [piece for piece in pieces if len(piece)]
        for motion in super().motion_from_audio(avatar, iter(whole), controls):
            yield replace(motion, expression=motion.expression + np.float32(0.1 * len(whole)))


class Beginning(_Broken):
    """Draws from the start whatever it is told."""

    def render(self, avatar, motion, controls, first=0):
        return super().render(avatar, motion, controls, 0)


class Drifting(_Broken):
    """Two jobs of one system disturb each other's gain, and no two systems are alike."""

    made = 0

    def make_renderer(self, avatar, controls):
        Drifting.made += 1
        self.config = replace(self.config, gain=200.0 + 20 * Drifting.made)
        return super().make_renderer(avatar, controls)


class Restless(_Broken):
    """Nods although it should be still, and never like a seed before."""

    count = 0

    def motion_from_audio(self, avatar, pieces, controls):
        Restless.count += 1
        for motion in super().motion_from_audio(avatar, pieces, controls):
            yield replace(motion, pose=motion.pose + np.float32(Restless.count))


class Opaque(_Broken):
    """Gives no mask."""

    def make_renderer(self, avatar, controls):
        return super().make_renderer(avatar, replace(controls, background="keep"))


class Undriven(_Broken):
    """Says it follows videos and reads three frames of them."""

    def motion_from_video(self, avatar, source, controls):
        for motion in super().motion_from_video(avatar, source, controls):
            if len(motion) == 1:
                raise InputError("a photo holds no motion")
            yield replace(motion, expression=motion.expression[:3], pose=motion.pose[:3])


class Unseen(MeterSystem):
    """Says that it can be seen from all around, and draws bars."""


Unseen.SPEC = replace(SPEC, factory=f"{__name__}:Unseen", viewable=True)
