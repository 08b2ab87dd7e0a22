"""From motion to pictures by the published generators: composites of three frames, painted, laid back softly.

As `draw.ClipDrawer`, whose bent source frame is the background here: its jaw and, when the head is asked elsewhere, its
head follow, so that the drawn face meets what it was trained on. The original laid a rectangle over the source frame,
which dragged neck and collar along; here a soft mask of the face is laid.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from talkingface.core.motion import batches
from talkingface.core.types import Controls, Frames, Motion
from talkingface.face.fit3d import VideoFit
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.raster import to_rgba
from talkingface.systems.headpose.compositing.composite import Composer, Pose, bent, face_weight
from talkingface.systems.headpose.compositing.playback import (
    Clip,
    Player,
    fade,
    finish,
    lay,
    place,
    same_pose,
    shown_part,
)
from talkingface.systems.headpose.official.data import HISTORY, FaceDrawer, View
from talkingface.systems.headpose.official.face.render_model import DrawnFace
from talkingface.systems.headpose.official.fast import FastPainter, PainterNets
from talkingface.systems.headpose.official.features import PERIOD
from talkingface.systems.headpose.official.networks import UNetAC
from talkingface.systems.headpose.official.recipe import to_bytes, to_signed
from talkingface.video.background import make_background
from talkingface.video.resize import shrink

WORKERS = 2
"""Composites in the making at a time, each in a thread."""
BATCH = 5
"""Frames that a generator draws at a time: a divisor of `PERIOD`."""

Paint = Callable[[Iterable[Tensor]], Iterator[Tensor]]
"""Composites [3, S, S] in [-1, 1] -> pictures, one from the third composite on."""


def memory_paint(nets: PainterNets) -> Paint:
    """The generator of 2020: the memory is asked every 25th frame, what lies between is interpolated."""
    return FastPainter(nets, batch=BATCH).paint


def plain_paint(network: UNetAC) -> Paint:
    """The generator of 2022, in small batches, channels last. Batches are always full, so that results do not depend
    on where the stream ends."""
    network = network.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def draw(triples: list[Tensor]) -> Iterator[Tensor]:
        full = torch.stack(triples + [triples[-1]] * (BATCH - len(triples)))
        yield from network(full.contiguous(memory_format=torch.channels_last)).picture[: len(triples)].float()

    def paint(composites: Iterable[Tensor]) -> Iterator[Tensor]:
        held: deque[Tensor] = deque(maxlen=HISTORY)
        triples: list[Tensor] = []
        for composite in composites:
            held.append(composite)
            if len(held) == HISTORY:
                triples.append(torch.cat(list(held)))
            if len(triples) == BATCH:
                yield from draw(triples)
                triples = []
        if triples:
            yield from draw(triples)

    return paint


@dataclass(frozen=True, slots=True)
class _Drawn:
    """One frame on its way: its number, its composite, the picture it is laid into, and how much of it is laid."""

    number: int
    composite: np.ndarray
    picture: np.ndarray
    share: np.ndarray


class ClassicDrawer:
    """Draws motion with a clip's frames, the person in three dimensions and a published generator."""

    def __init__(
        self,
        clip: Clip,
        fit: VideoFit,
        face: DrawnFace,
        view: View,
        paint: Paint,
        model: LinearFaceModel,
        controls: Controls,
        device: str = "cpu",
    ) -> None:
        self._clip, self._view, self._paint, self._model = clip, view, paint, model
        self._controls, self._device = controls, device
        self._face = FaceDrawer(fit, face, view)
        self._place = place(clip, controls)
        size = head_size(view, controls) if controls.crop == "head" else self._place.size
        other = controls.background not in ("keep", "transparent")
        self._background = make_background(controls.background, size) if other else None
        self._size, self._fade = size, fade(view.side_px)
        self._local = threading.local()

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """Pictures for a stream of motion from frame `first` on.

        Features and batches are counted from the beginning, so drawing begins at the last whole period before `first`.
        """
        begin = first // PERIOD * PERIOD
        waiting: deque[_Drawn] = deque()
        done: list[np.ndarray] = []
        start = first
        for painted in self._paint(self._composites(motions, begin, waiting)):
            drawn = waiting.popleft()
            if drawn.number < first:
                continue
            if not done:
                start = drawn.number
            done.append(self._laid(drawn, to_bytes(painted[None])[0]))
            if len(done) == BATCH:
                yield finish(start, done, self._controls, self._background)
                done = []
        if done:
            yield finish(start, done, self._controls, self._background)

    def _composites(self, motions: Iterator[Motion], begin: int, waiting: deque[_Drawn]) -> Iterator[Tensor]:
        """Composites as the generator takes them, with the two before frame `begin`; at the very first frame it is its
        own past. Frames from `begin` on join those `waiting`."""
        fresh = True
        for drawn in self._drawn(motions, max(0, begin - HISTORY + 1)):
            composite = torch.from_numpy(drawn.composite).to(self._device).permute(2, 0, 1)
            signed = to_signed(composite)
            if fresh and drawn.number >= begin:
                yield from (signed for _ in range(HISTORY - 1))
            fresh = False
            if drawn.number >= begin:
                waiting.append(drawn)
            yield signed

    def _drawn(self, motions: Iterator[Motion], begin: int) -> Iterator[_Drawn]:
        player = Player(self._clip.head, self._controls)
        with ThreadPoolExecutor(WORKERS) as pool:
            making: deque[Future[_Drawn]] = deque()
            for start, motion in batches(motions, BATCH):
                rows, sources = player.play(motion)  # also for frames that are not drawn: it remembers
                for k in range(max(0, begin - start), len(motion)):
                    if len(making) == 2 * WORKERS:
                        yield making.popleft().result()
                    source = int(sources[k])
                    # decoding is not thread-safe
                    job = (start + k, self._clip.frames[source], source, rows[k], motion.expression[k])
                    making.append(pool.submit(self._compose, *job))
            while making:
                yield making.popleft().result()

    def _compose(self, number: int, rgb: np.ndarray, source: int, row: np.ndarray, spoken: np.ndarray) -> _Drawn:
        clip, view, head = self._clip, self._view, self._clip.head
        own = Pose(
            rotation=head.rotation[source], scale=float(head.scale[source]), translation=head.translation[source]
        )
        stays = same_pose(row, head.rows[source])
        target = own if stays else head.absolute(row)
        change = spoken - clip.expression[source]
        change[self._model.num_mouth :] = 0
        reached = bent(self._model, clip.points[source], own, change, None if stays else target)
        whole = rgb.copy()
        self._composer().draw(to_rgba(rgb), clip.points[source], own, target, reached, whole)
        move = None if stays else (own, target)
        composite = self._face.over(view.cut(whole), source, change=change, move=move)
        if self._controls.crop == "head":
            return _Drawn(number, composite, composite, self._fade)
        share = face_weight(reached, view.matrix, target, view.side_px).astype(np.float32) / 255
        return _Drawn(number, composite, shown_part(whole, self._place), share * self._fade)

    def _composer(self) -> Composer:
        if not hasattr(self._local, "composer"):
            self._local.composer = Composer(self._clip.size)
        return self._local.composer

    def _laid(self, drawn: _Drawn, painted: np.ndarray) -> np.ndarray:
        """The painted view in its picture, or by itself."""
        if self._controls.crop == "head":
            if self._size[0] <= painted.shape[1]:
                return np.array(shrink(painted, self._size), order="C")
            return cv2.resize(painted, self._size, interpolation=cv2.INTER_CUBIC)
        where, view = self._place, self._view
        scale = view.scale / where.factor
        corner = view.scale * (where.offset - (view.x, view.y))
        lay(drawn.picture, painted, drawn.share, np.array([[scale, 0, corner[0]], [0, scale, corner[1]]]))
        return drawn.picture


def head_size(view: View, controls: Controls) -> tuple[int, int]:
    """Size of the face alone: the network's own, as large as in the clip ("native"), or as asked for."""
    wanted = controls.size
    side = view.side_px if wanted is None else round(view.side_px / view.scale) if wanted == "native" else int(wanted)
    return max(2, side), max(2, side)
