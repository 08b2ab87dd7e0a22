"""A "face" that needs no weights, no tracker and no time: small enough to test everything around systems."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from meter_system import SPEC
from meter_system.config import MeterOptions
from talkingface.core.motion import skip_frames
from talkingface.core.stream import windows
from talkingface.core.system import System
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo
from talkingface.video.read import read_frames

RATE_HZ = 16000
HOP = RATE_HZ // 25


class MeterSystem(System):
    """The photo, or the first frame of a clip, as it is, with a bar whose height is the loudness."""

    SPEC = SPEC

    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        is_photo = isinstance(source, Photo)
        base = source.opaque() if is_photo else next(read_frames(source.path)).rgb
        if isinstance(size, int):
            scale = size / max(base.shape[:2])
            base = cv2.resize(base, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        card = {"kind": "photo" if is_photo else "clip", "notes": ["a note"]}
        return Avatar(system=self.SPEC.name, card=card, tensors={"base": base})

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        slope = 0.0 if controls.pose == "still" else 0.01 * controls.pose_scale * (1 + controls.seed)
        for window in windows(pieces, HOP, 2 * HOP, HOP):
            level = np.sqrt(np.mean(window.values**2, keepdims=True))[None].astype(np.float32)
            frame = window.start // HOP
            yield Motion(
                space="meter1",
                expression=level * controls.expression_scale,
                pose=np.full((1, 6), slope * frame, np.float32),
                blink=None,
                fps=25.0,
                start=frame,
            )

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        count = 1 if isinstance(source, Photo) else round(25 * source.info.duration_s)
        yield Motion(
            space="meter1",
            expression=np.ones((count, 1), np.float32),
            pose=np.arange(6 * count, dtype=np.float32).reshape(count, 6),
            blink=None,
            fps=25.0,
        )

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        return np.concatenate([angles_rad, np.zeros_like(angles_rad)], axis=1)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Bar:
        own = controls.own if isinstance(controls.own, MeterOptions) else MeterOptions()
        return Bar(avatar.tensors["base"], self.config.gain, own.shade, controls.background == "transparent")


class Bar:
    """Draws the bar."""

    def __init__(self, base: np.ndarray, gain: float, shade: int, transparent: bool) -> None:
        self._base, self._gain, self._shade, self._transparent = base, gain, shade, transparent

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        for piece in skip_frames(motions, first):
            if piece.start == int(os.environ.get("METER_WAITS_AT", -1)):  # for tests that stop a running command
                print("waiting", flush=True)
                while True:  # a wait without end misses a signal that comes just before it begins
                    time.sleep(0.05)
            rgb = np.repeat(self._base[None], len(piece), axis=0)
            lowest = rgb.shape[1] - 1
            for row, picture in enumerate(rgb):
                height = int(np.clip(piece.expression[row, 0] * self._gain, 0, lowest))
                picture[lowest - height :] = self._shade
                picture[:, 0] = (piece.start + row) % 256
            mask = np.full(rgb.shape[:3], 255, np.uint8) if self._transparent else None
            yield Frames(rgb=rgb, mask=mask, start=piece.start)
