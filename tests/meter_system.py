"""A plug-in as an outside package would ship it: a "face" that needs no weights, no tracker and no time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from talkingface.core.motion import skip_frames
from talkingface.core.spec import SystemSpec
from talkingface.core.stream import windows
from talkingface.core.system import System
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo

RATE_HZ = 16000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """Settings of the system."""

    gain: float = 200.0


def make_config(preset: str) -> MeterConfig:
    """The config of a preset."""
    return MeterConfig()


SPEC = SystemSpec(
    name="meter",
    summary="a bar that follows the loudness (tests)",
    source=("photo",),
    driving=("audio", "video"),
    pose=("generated",),
    features=(),
    motion_space="meter1",
    latency_frames=2,
    presets=("tiny",),
    factory="meter_system:MeterSystem",
    config="meter_system:make_config",
    licence="Apache-2.0",
    default_weights="meter.none",
)


class MeterSystem(System):
    """A system without a face: a bar whose height is the loudness. Small enough to test everything around systems."""

    SPEC = SPEC

    def fit(self, source: Photo | Clip, *, face_index=None, size=None, folder=None) -> Avatar:
        return Avatar(system="meter", card={"notes": ["a note"]}, tensors={"base": np.full((48, 64, 3), 40, np.uint8)})

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        hop = RATE_HZ // 25
        for window in windows(pieces, hop, 2 * hop, hop):
            level = np.sqrt(np.mean(window.values**2, keepdims=True))[None].astype(np.float32)
            frame = window.start // hop
            yield Motion(
                space="meter1",
                expression=level * controls.expression_scale,
                pose=np.full((1, 6), 0.0 if controls.pose == "still" else 0.01 * frame, np.float32),
                blink=None,
                fps=25.0,
                start=frame,
            )

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        yield Motion(
            space="meter1",
            expression=np.ones((10, 1), np.float32),
            pose=np.arange(60, dtype=np.float32).reshape(10, 6),
            blink=None,
            fps=25.0,
        )

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        return np.concatenate([angles_rad, np.zeros_like(angles_rad)], axis=1)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Bar:
        return Bar(avatar.tensors["base"], self.config.gain, controls.background == "transparent")


class Bar:
    """Draws the bar."""

    def __init__(self, base: np.ndarray, gain: float, transparent: bool) -> None:
        self._base, self._gain, self._transparent = base, gain, transparent

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        for piece in skip_frames(motions, first):
            if piece.start == int(os.environ.get("METER_WAITS_AT", -1)):  # for tests that stop a running command
                print("waiting", flush=True)
                threading.Event().wait()
            rgb = np.repeat(self._base[None], len(piece), axis=0)
            for row, picture in enumerate(rgb):
                height = int(np.clip(piece.expression[row, 0] * self._gain, 0, 47))
                picture[47 - height :] = 220
                picture[:, 0] = (piece.start + row) % 256
            mask = np.full(rgb.shape[:3], 255, np.uint8) if self._transparent else None
            yield Frames(rgb=rgb, mask=mask, start=piece.start)
