"""A system that can be seen from all around: a plain picture whose colours say how it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import ImageColor

from meter_system import SPEC as METER
from meter_system.system import HOP, MeterSystem
from talkingface.core.motion import skip_frames
from talkingface.core.stream import windows
from talkingface.core.system import System
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo
from talkingface.core.view import View, ViewSetting
from talkingface.face.mesh478_space import MESH478

SPEC = replace(
    METER, name="globe", summary="colours from all around (tests)", viewable=True, motion_space=MESH478,
    driving=("audio",), backgrounds=("keep", "replace"), poses=("still", "generated", "angles"), options="",
    latency_frames={"best": 1, "low": 1}, factory="meter_system.globe:GlobeSystem", default_weights="globe.none",
    weights=("globe.none",), recipes="", importers={},
)  # fmt: skip
SIDE_PX = 96
LANDMARK = (20.5, 30.5)


class GlobeSystem(MeterSystem):
    """Its mouth follows the frame's number, column 0 in hundredths, and the loudness, column 1."""

    SPEC = SPEC

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        slope = 0.0 if controls.pose == "still" else 0.01 * controls.pose_scale * (1 + controls.seed)
        for window in windows(pieces, 0, 0, HOP):
            frame = window.start // HOP
            expression = np.zeros((1, 20), np.float32)
            expression[0, :2] = frame / 100, np.sqrt(np.mean(window.values**2))
            yield Motion(
                space=MESH478.name, space_version=MESH478.version,
                expression=expression * np.float32(controls.expression_scale),
                pose=np.full((1, 6), slope * frame, np.float32),
                blink=np.full((1, 1), min(1.0, 0.25 * controls.blink), np.float32), fps=25.0, start=frame,
            )  # fmt: skip

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        return System.motion_from_video(self, avatar, source, controls)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Globe:  # type: ignore[override]
        return Globe(controls)


class Globe:
    """Red is the first column of the expression (0 to 2), green the yaw (-1 to 1), blue the closure, in its middle; a
    stripe at the left is the background, one at the right the pose (0 to 1), one below the loudness."""

    view_settings = (ViewSetting(name="samples", low=1, high=8, default=4, whole=True),)

    def __init__(self, controls: Controls) -> None:
        self.side = controls.size if isinstance(controls.size, int) else SIDE_PX
        colour = "black" if controls.background == "keep" else controls.background
        self.background = ImageColor.getrgb(colour)[:3]

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        for piece in skip_frames(motions, first):
            pose = np.zeros((len(piece), 6)) if piece.pose is None else piece.pose
            blink = np.zeros((len(piece), 1)) if piece.blink is None else piece.blink
            rows = zip(piece.expression, pose, blink[:, 0], strict=True)
            yield Frames(rgb=np.stack([self.draw(*row, None)[0] for row in rows]), start=piece.start)

    def draw(
        self, expression: np.ndarray, pose: np.ndarray, closure: float, view: View | None, *, deep: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        view = view or View()
        shown = np.array([expression[0] / 2, (view.yaw + 1) / 2, closure])
        rgb = np.empty((self.side, self.side, 3), np.uint8)
        rgb[:] = np.clip(shown * 255, 0, 255)
        rgb[:, : self.side // 4] = self.background
        rgb[:, -self.side // 4 :] = np.clip(pose[0] * 255, 0, 255)
        rgb[-4:] = np.clip(expression[1] * 1000, 0, 255)
        depth = np.full((self.side, self.side), np.inf, np.float32)
        depth[:, self.side // 2 :] = np.linspace(10, 20, self.side, dtype=np.float32)[:, None]
        return rgb, depth

    def landmarks(self, expression: np.ndarray, pose: np.ndarray, view: View | None) -> np.ndarray:
        return np.tile(np.array(LANDMARK, np.float32) + 20 * expression[0], (68, 1))
