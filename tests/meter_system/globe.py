"""A system that can be seen from all around: a plain picture whose colours say how it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import ImageColor

from meter_system import SPEC as METER
from meter_system.system import HOP, MeterSystem
from talkingface.core.stream import windows
from talkingface.core.types import Avatar, Controls, Frames, Motion
from talkingface.core.view import View, ViewSetting
from talkingface.face.mesh478_space import MESH478

SPEC = replace(
    METER, name="globe", summary="colours from all around (tests)", viewable=True, motion_space=MESH478,
    factory="meter_system.globe:GlobeSystem", weights=(), recipes="", importers={},
)  # fmt: skip
SIDE_PX = 96
LANDMARK = (20.5, 30.5)


class GlobeSystem(MeterSystem):
    """Its mouth follows the frame's number: column 0 is the frame in hundredths."""

    SPEC = SPEC

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        for window in windows(pieces, 0, 0, HOP):
            frame = window.start // HOP
            expression = np.zeros((1, 20), np.float32)
            expression[0, 0] = frame / 100
            yield Motion(
                space=MESH478.name, space_version=MESH478.version, expression=expression,
                pose=np.full((1, 6), 0.01 * frame, np.float32), blink=np.full((1, 1), 0.25, np.float32), fps=25.0,
                start=frame,
            )  # fmt: skip

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Globe:  # type: ignore[override]
        return Globe(controls)


class Globe:
    """Red is the first column of the expression (0 to 2), green the yaw (-1 to 1), blue the closure, in its middle; a
    column at the left is the background, one at the right the pose (0 to 1)."""

    view_settings = (ViewSetting(name="samples", low=1, high=8, default=4, whole=True),)

    def __init__(self, controls: Controls) -> None:
        self.side = controls.size if isinstance(controls.size, int) else SIDE_PX
        colour = "black" if controls.background == "keep" else controls.background
        self.background = ImageColor.getrgb(colour)[:3]

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        for piece in motions:
            yield Frames(rgb=np.zeros((len(piece), self.side, self.side, 3), np.uint8), start=piece.start)

    def draw(
        self, expression: np.ndarray, pose: np.ndarray, closure: float, view: View | None
    ) -> tuple[np.ndarray, np.ndarray]:
        view = view or View()
        shown = np.array([expression[0] / 2, (view.yaw + 1) / 2, closure])
        rgb = np.empty((self.side, self.side, 3), np.uint8)
        rgb[:] = np.clip(shown * 255, 0, 255)
        rgb[:, : self.side // 4] = self.background
        rgb[:, -self.side // 4 :] = np.clip(pose[0] * 255, 0, 255)
        depth = np.full((self.side, self.side), np.inf, np.float32)
        depth[:, self.side // 2 :] = np.linspace(10, 20, self.side, dtype=np.float32)[:, None]
        return rgb, depth

    def landmarks(self, expression: np.ndarray, pose: np.ndarray, view: View | None) -> np.ndarray:
        return np.tile(np.array(LANDMARK, np.float32) + 20 * expression[0], (68, 1))
