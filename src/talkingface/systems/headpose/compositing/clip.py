"""An avatar's clip: which of its frames is shown, which part of it, and how it is warped to new motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from talkingface.core.motion import ping_pong
from talkingface.core.types import Controls, Motion, Track
from talkingface.face.mesh478_motion import RestingHead
from talkingface.face.morphable import FaceFit, LinearFaceModel
from talkingface.face.pose import Pose, head_box
from talkingface.face.raster import to_rgba
from talkingface.nn.state import named, part
from talkingface.person.heads import MOST_POSE, ClipHead, frame_pose
from talkingface.systems.headpose.compositing.composite import Compositor, deform
from talkingface.systems.headpose.motion.head_poses import FrameChooser, head_from_tensors, head_tensors
from talkingface.video.resize import shrink

LONGEST_PX = 1280
POINT_STEPS = 16  # landmarks are stored in sixteenths of a pixel
_SAME_POSE = 2e-3  # rows closer than this are the frame's own pose: it is shown without turning the head


class FrameStore(Protocol):
    """Frames by number. Decoding is not thread-safe: only the thread that iterates over a renderer's frames reads."""

    def __getitem__(self, number: int) -> np.ndarray: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarClip:
    """An avatar's clip: `frames` of `size` (width, height), landmarks `points` float32 [M, 478, 3], `expression` [M, E]
    and the `head` in each frame."""

    frames: FrameStore
    size: tuple[int, int]
    points: np.ndarray
    expression: np.ndarray
    head: ClipHead

    def resting_head(self) -> RestingHead:
        """The landmarks of the head at rest, by the frame that comes closest to it."""
        nearest = int((np.abs(self.head.rows).sum(axis=1) + 10.0 * ~self.head.seen).argmin())
        neutral = frame_pose(self.head, nearest).undo(self.points[nearest])
        return RestingHead(points=self.head.rest.apply(neutral), size=self.size)


@dataclass(frozen=True, slots=True)
class Framing:
    """The part of the clip's frames that is shown, and its size: shown pixel = (clip pixel - offset) * factor."""

    offset: np.ndarray
    side: tuple[int, int]
    factor: float
    size: tuple[int, int]

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """A copy of what is shown of a clip's frame, at its size."""
        x, y = self.offset.astype(int)
        part = shrink(picture[y : y + self.side[1], x : x + self.side[0]], self.size)
        return np.array(part, order="C")


def choose_framing(clip: AvatarClip, controls: Controls) -> Framing:
    """The whole picture, or the square that holds the head at rest."""
    box = (0, 0, *clip.size)
    if controls.crop == "head":
        from_rest = np.abs(clip.head.rows).sum(axis=1) + 10.0 * ~clip.head.seen
        box = head_box(clip.points[int(from_rest.argmin())], clip.size)
    side = box[2] - box[0], box[3] - box[1]
    longest = max(side)
    wanted = (
        longest if controls.size == "native" else min(longest, LONGEST_PX) if controls.size is None else controls.size
    )
    factor = wanted / longest
    size = (max(2, round(side[0] * factor)), max(2, round(side[1] * factor)))
    return Framing(np.array(box[:2], np.float64), side, factor, size)


def whole_frame(clip: AvatarClip) -> Framing:
    """The whole picture in the clip's own pixels."""
    return Framing(np.zeros(2), clip.size, 1.0, clip.size)


class ClipPlayer:
    """Which frames of the clip a stream of motion shows, and the head pose in each; remembers where the clip plays."""

    def __init__(self, head: ClipHead, controls: Controls) -> None:
        self._head, self._source = head, controls.pose == "source"
        self._chooser = FrameChooser(head)

    def play(self, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
        """Pose rows [T, 6] and frame numbers [T] of the next piece of motion."""
        if self._source:  # whatever the motion says
            numbers = ping_pong(np.arange(motion.start, motion.start + len(motion)), len(self._head))
            return self._head.rows[numbers], numbers
        rows = np.zeros((len(motion), 6), np.float32) if motion.pose is None else motion.pose
        if motion.source is not None:
            return rows, np.clip(np.rint(motion.source[:, 0]), 0, len(self._head) - 1).astype(int)
        rows = np.clip(rows, -MOST_POSE, MOST_POSE)
        return rows, np.array([self._chooser.choose(row) for row in rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class WarpedFrame:
    """A clip's frame with another mouth and head pose, in shown pixels.

    `picture` uint8 [H, W, 3]; `change` [E] of expression; head poses before (`own`) and after (`target`); `moved`:
    whether they differ; `points` [478, 3]: the landmarks after the warp.
    """

    picture: np.ndarray
    change: np.ndarray
    own: Pose
    target: Pose
    moved: bool
    points: np.ndarray


def warp_frame(
    compositor: Compositor, clip: AvatarClip, model: LinearFaceModel, framing: Framing, rgb: np.ndarray, number: int,
    row: np.ndarray, expression: np.ndarray,
) -> WarpedFrame:  # fmt: skip
    """Warp frame `number` of the clip, the picture `rgb`, to the pose `row` [6] and the mouth of `expression` [E].

    Eyes and brows stay those of the frame: only the model's mouth coefficients change.
    """
    head = clip.head
    own = frame_pose(head, number)
    moved = bool(np.abs(row - head.rows[number]).max() >= _SAME_POSE)
    target = head.absolute(row) if moved else own
    own, target = own.moved(framing.factor, framing.offset), target.moved(framing.factor, framing.offset)
    points = (clip.points[number] - np.array([*framing.offset, 0], np.float32)) * np.float32(framing.factor)
    change = expression - clip.expression[number]
    change[model.num_mouth :] = 0
    reached = deform(model, points, own, change, target if moved else None)
    picture = framing.cut(rgb)
    compositor.draw(to_rgba(picture), points, own, target, reached, picture)
    return WarpedFrame(picture=picture, change=change, own=own, target=target, moved=moved, points=reached)


def clip_tensors(track: Track, fit: FaceFit) -> dict[str, np.ndarray]:
    """What an avatar keeps of its clip's frames, beside the pictures."""
    tensors = {
        **head_tensors(track, fit),
        "points": np.round(track.landmarks * POINT_STEPS).astype(np.int16),
        "expression": fit.expression.astype(np.float16),
    }
    return named("clip", tensors)


def clip_from_tensors(tensors: Mapping[str, np.ndarray], frames: FrameStore, size: tuple[int, int]) -> AvatarClip:
    """The clip of an avatar's tensors. Raises KeyError for others."""
    kept = part(tensors, "clip")
    return AvatarClip(
        frames=frames,
        size=size,
        points=kept["points"].astype(np.float32) / POINT_STEPS,
        expression=kept["expression"].astype(np.float32),
        head=head_from_tensors(kept),
    )
