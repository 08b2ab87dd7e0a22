"""From motion to pictures: the clip's frames, bent, corrected by the network, and laid back into the whole picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import nn

from talkingface.core.motion import batches
from talkingface.core.types import Controls, Frames, Motion
from talkingface.face.matte import person_matte
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.pose import head_box
from talkingface.face.raster import to_rgba
from talkingface.systems.headpose.compositing.composite import Composer, Pose, bent, face_weight, look, view_matrix
from talkingface.systems.headpose.motion.head_poses import ClipHead, FrameChooser, to_and_fro
from talkingface.video.background import make_background
from talkingface.video.resize import shrink

WORKERS = 2
"""Batches in the making at a time, each in a thread: drawing, the network and encoding release the GIL."""
BATCH = 8
"""Frames that the network sees at a time. Always full (padded), so that results do not depend on the split."""
LONGEST_PX = 1280
_BORDER = 0.06  # of the view, over which corrections fade out
_SAME_POSE = 2e-3  # rows closer than this are the frame's own pose


class FrameStore(Protocol):
    """Frames by number."""

    def __getitem__(self, number: int) -> np.ndarray: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """An avatar's clip: `frames` of `size` (width, height), landmarks `points` float32 [M, 478, 3], `expression` [M, E]
    and the `head` in each frame."""

    frames: FrameStore
    size: tuple[int, int]
    points: np.ndarray
    expression: np.ndarray
    head: ClipHead


@dataclass(frozen=True, slots=True)
class _Place:
    """Which part of the clip's frames is shown, and how large: shown pixel = (clip pixel - offset) * factor."""

    offset: np.ndarray
    side: tuple[int, int]
    factor: float
    size: tuple[int, int]


def place(clip: Clip, controls: Controls) -> _Place:
    """The whole picture, or the square that holds the head at rest."""
    box = (0, 0, *clip.size)
    if controls.crop == "head":
        middle = np.abs(clip.head.rows).sum(axis=1) + 10.0 * ~clip.head.seen
        box = head_box(clip.points[int(middle.argmin())], clip.size)
    side = box[2] - box[0], box[3] - box[1]
    longest = max(side)
    wanted = (
        longest if controls.size == "native" else min(longest, LONGEST_PX) if controls.size is None else controls.size
    )
    factor = wanted / longest
    size = (max(2, round(side[0] * factor)), max(2, round(side[1] * factor)))
    return _Place(np.array(box[:2], np.float64), side, factor, size)


class Player:
    """Which frames of the clip lie behind a stream of motion, and where the head is; remembers where it plays."""

    def __init__(self, head: ClipHead, controls: Controls) -> None:
        self._head, self._source = head, controls.pose == "source"
        self._chooser = FrameChooser(head)

    def play(self, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
        """Pose rows [T, 6] and numbers [T] of the next piece of motion."""
        if self._source:  # whatever the motion says
            playing = to_and_fro(np.arange(motion.start, motion.start + len(motion)), 0, len(self._head))
            return self._head.rows[playing], playing
        rows = np.zeros((len(motion), 6), np.float32) if motion.pose is None else motion.pose
        if motion.source is not None:
            return rows, np.clip(np.rint(motion.source[:, 0]), 0, len(self._head) - 1).astype(int)
        return rows, np.array([self._chooser.choose(row) for row in rows])


def same_pose(row: np.ndarray, own: np.ndarray) -> bool:
    """Whether a head at `row` [6] is where it is in the frame with the row `own`."""
    return bool(np.abs(row - own).max() < _SAME_POSE)


class ClipDrawer:
    """Draws motion with a clip's frames and a renderer network that gives `Painted`."""

    def __init__(
        self,
        clip: Clip,
        model: LinearFaceModel,
        network: nn.Module,
        view_px: int,
        controls: Controls,
        device: str = "cpu",
    ) -> None:
        self._clip, self._model, self._network, self._view_px = clip, model, network, view_px
        self._controls, self._device = controls, device
        self._place = place(clip, controls)
        self._composers = [Composer(self._place.size) for _ in range(WORKERS)]
        other = controls.background not in ("keep", "transparent")
        self._background = make_background(controls.background, self._place.size) if other else None
        self._fade = fade(view_px)
        self._precision = next((p.dtype for p in network.parameters()), torch.float32)

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """Pictures for a stream of motion from frame `first` on."""
        player = Player(self._clip.head, self._controls)
        with ThreadPoolExecutor(WORKERS) as pool:
            making: deque[Future[Frames]] = deque()
            number = 0
            for start, motion in batches(motions, BATCH):
                rows, numbers = player.play(motion)  # also for frames that are not drawn: it remembers
                skip = min(max(0, first - start), len(motion))
                if skip == len(motion):
                    continue
                if len(making) == WORKERS:  # so that no two batches in the making share a composer
                    yield making.popleft().result()
                # decoding is not thread-safe
                pictures = [self._clip.frames[int(n)] for n in numbers[skip:]]
                job = (start + skip, pictures, numbers[skip:], rows[skip:], motion.expression[skip:])
                making.append(pool.submit(self._make, self._composers[number % WORKERS], *job))
                number += 1
            while making:
                yield making.popleft().result()

    def _make(
        self, composer: Composer, start: int, pictures: list[np.ndarray], numbers: np.ndarray, rows: np.ndarray,
        expression: np.ndarray,
    ) -> Frames:  # fmt: skip
        drawn = [
            self._compose(composer, picture, int(number), row, spoken)
            for picture, number, row, spoken in zip(pictures, numbers, rows, expression, strict=True)
        ]
        views = [view for _, view, _, _ in drawn]
        colour, share = self._correct(np.stack(views + [views[-1]] * (BATCH - len(views))))
        for k, (picture, _, matrix, face) in enumerate(drawn):
            lay(picture, colour[k], share[k] * face, matrix)
        return finish(start, [picture for picture, _, _, _ in drawn], self._controls, self._background)

    def _compose(
        self, composer: Composer, picture: np.ndarray, number: int, row: np.ndarray, spoken: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The composite in the shown picture, the network's view of it, the matrix that gave the view, and how much of
        each of its pixels may be corrected: the face, float32 [S, S]."""
        clip, where = self._clip, self._place
        picture = shown_part(picture, where)
        head = clip.head
        own = Pose(
            rotation=head.rotation[number], scale=float(head.scale[number]), translation=head.translation[number]
        )
        stays = same_pose(row, head.rows[number])
        target = own if stays else head.absolute(row)
        own, target = own.moved(where.factor, where.offset), target.moved(where.factor, where.offset)
        points = (clip.points[number] - np.array([*where.offset, 0], np.float32)) * np.float32(where.factor)
        change = spoken - clip.expression[number]
        change[self._model.num_mouth :] = 0
        reached = bent(self._model, points, own, change, None if stays else target)
        composer.draw(to_rgba(picture), points, own, target, reached, picture)
        matrix = view_matrix(target, self._view_px)
        face = face_weight(reached, matrix, target, self._view_px) * (self._fade / 255)
        return picture, look(picture, matrix, self._view_px), matrix, face

    def _correct(self, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours uint8 [B, S, S, 3] and how much of them is shown, float32 [B, S, S]."""
        with torch.inference_mode():
            pictures = torch.from_numpy(views).to(self._device).permute(0, 3, 1, 2).float() / 255
            painted = self._network(pictures.to(self._precision))
            colour = (painted.colour.float() * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
            return colour, 1 - painted.mask[:, 0].float().cpu().numpy()


def finish(start: int, pictures: list[np.ndarray], controls: Controls, background: np.ndarray | None) -> Frames:
    """Pictures [H, W, 3] as frames, before the `background` [H, W, 3] that the controls ask for, or with a mask."""
    if controls.background == "keep":
        return Frames(rgb=np.stack(pictures), start=start)
    mattes = [person_matte(picture) for picture in pictures]
    if background is None:
        masks = np.stack([np.round(255 * matte).astype(np.uint8) for matte in mattes])
        return Frames(rgb=np.stack(pictures), mask=masks, start=start)
    mixed = [
        np.round(picture * matte[..., None] + background * (1 - matte[..., None])).astype(np.uint8)
        for picture, matte in zip(pictures, mattes, strict=True)
    ]
    return Frames(rgb=np.stack(mixed), start=start)


def shown_part(picture: np.ndarray, where: _Place) -> np.ndarray:
    """A copy of what is shown of a clip's frame, at its size."""
    x, y = where.offset.astype(int)
    part = shrink(picture[y : y + where.side[1], x : x + where.side[0]], where.size)
    return np.array(part, order="C")


def lay(picture: np.ndarray, colour: np.ndarray, share: np.ndarray, matrix: np.ndarray) -> None:
    """Lay `colour` uint8 [S, S, 3] over `picture` uint8 [H, W, 3], in place, as far as `share` float32 [S, S] says.

    `matrix` [2, 3] takes picture pixels to those of the view, pixel corner at 0.
    """
    side, factor = share.shape[0], float(np.hypot(*matrix[0, :2]))
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ back[:, :2].T + back[:, 2]
    x0, y0 = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(0)), (picture.shape[1], picture.shape[0])).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    to_view = matrix.copy()
    to_view[:, 2] += matrix[:, :2] @ (x0 + 0.5, y0 + 0.5) - 0.5  # OpenCV's pixel centres lie at whole numbers
    smaller = factor > 1.34
    if smaller:  # warpAffine does not filter
        colour = cv2.GaussianBlur(colour, (0, 0), 0.4 * factor)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if smaller or factor > 0.9 else cv2.INTER_CUBIC)
    size = (int(x1 - x0), int(y1 - y0))
    seen = cv2.warpAffine(colour, to_view, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(share, to_view, size, flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)
    part = picture[y0:y1, x0:x1]
    weights = np.clip(alpha, 0, 1)
    part[:] = cv2.blendLinear(seen, np.ascontiguousarray(part), weights, 1 - weights)


def fade(side: int) -> np.ndarray:
    """float32 [side, side]: 1 inside, falling to 0 at the borders of the view."""
    reach = max(1.0, _BORDER * side)
    ramp = np.clip((np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5) / reach, 0, 1)
    return np.outer(ramp, ramp).astype(np.float32)
