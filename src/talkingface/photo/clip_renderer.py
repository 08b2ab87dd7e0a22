"""Dub a clip: every frame keeps its own pixels, head motion and eyes; only the mouth follows the new speech."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from talkingface.core.motion import batches, ping_pong, skip_frames
from talkingface.core.pace import PACES
from talkingface.core.spool import Spool
from talkingface.core.stream import ordered_map_with
from talkingface.core.types import NUM_POINTS, Controls, Frames, Motion
from talkingface.face.morphable import LinearFaceModel, inner_lip_gap
from talkingface.face.pose import head_box
from talkingface.face.raster import Box, Warper, to_rgba
from talkingface.face.search import turn
from talkingface.face.topology import FACE_OVAL, mouth_triangles, skin_triangles
from talkingface.photo.composite import hidden_mouth
from talkingface.photo.mouth import OpenMouth
from talkingface.photo.refine import Drawn, Refiner, composite_residual, look_at, make_view
from talkingface.photo.rig import NO_GAINS, amplified
from talkingface.photo.window import read_skin, window_at, window_side
from talkingface.video.jpeg import from_jpeg, to_jpeg

RINGS = ((0.12, 0.35), (0.3, 0.0))  # distance outside the face outline in eye distances, share of its movement
_SPOOL_QUALITY = 97
_MOST_BATCH = 4  # several batches are held at a time, before and after drawing, and clips are large
_LEAST_MOVE_PX = 1 / 256  # what the warp rounds places to


class ClipRenderer:
    """Draws new mouths onto the frames of a clip.

    `landmarks` [T, 478, 3], `expression` [T, E], `rotation` [T, 3, 3] and `scale` [T] belong to the clip's frames at
    `fps`, as `video.read.read_frames(path, fps=fps)` gives them, turned counter-clockwise by `turns` quarters. Frames
    whose `present` [T] is 0 do not show the face and pass as they are. `gains`: see `Rig`. `mouth`: the person's; None:
    an example.
    """

    def __init__(
        self, path: Path, fps: float, longest_px: int | None, model: LinearFaceModel, fit: dict[str, np.ndarray],
        refiner: Refiner, controls: Controls, turns: int = 0, mouth: OpenMouth | None = None,
        gains: np.ndarray = NO_GAINS,
    ) -> None:  # fmt: skip
        self._path, self._fps, self._longest_px, self._turns = path, fps, longest_px, turns
        self._model, self._fit, self._refiner, self._controls = model, fit, refiner, controls
        self._gains = gains
        self._workers = PACES[controls.delay].workers
        self._batch = min(PACES[controls.delay].batch, _MOST_BATCH)
        self._triangles = _triangles()
        if mouth is None:
            closed = int(np.argmin(np.where(fit["present"], inner_lip_gap(fit["landmarks"]), np.inf)))
            mouth = refiner.mouth_for(fit["landmarks"][closed])
        self._mouth = mouth

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`. Past the clip's end it plays backwards, then forwards again."""
        return ordered_map_with(_Tools, self._draw, self._batches(motions, first), self._workers)

    def _batches(self, motions: Iterator[Motion], first: int) -> Iterator[_Batch]:
        """The motion with the pictures that it is drawn onto, decoded while others are drawn."""
        source: Iterator[np.ndarray] | None = None
        for start, motion in batches(skip_frames(motions, first), self._batch):
            if source is None:
                source = self._source(start)
            numbers = ping_pong(np.arange(start, start + len(motion)), len(self._fit["landmarks"]))
            yield _Batch(start, [next(source) for _ in numbers], numbers, motion)

    def _source(self, first: int) -> Iterator[np.ndarray]:
        """Frames of the clip from output frame `first` on, forwards and backwards for ever."""
        count = len(self._fit["landmarks"])
        is_live = self._workers == 0
        with Spool() as spool:  # a video cannot be decoded backwards
            if is_live or first < count:
                for number, rgb in enumerate(self._decoded()):
                    if is_live:
                        spool.append(to_jpeg(rgb, _SPOOL_QUALITY))
                    if number >= first:
                        yield rgb
            if not is_live:  # few clips are played backwards, and files can wait here until all is decoded again
                for rgb in self._decoded():
                    spool.append(to_jpeg(rgb, _SPOOL_QUALITY))
            for number in itertools.count(max(len(spool), first)):
                at = int(ping_pong(np.array([number]), count)[0])
                yield from_jpeg(spool[at])

    def _decoded(self) -> Iterator[np.ndarray]:
        from talkingface.video.read import read_frames

        for frame in islice(
            read_frames(self._path, fps=self._fps, longest_px=self._longest_px), len(self._fit["landmarks"])
        ):
            yield turn(frame.rgb, self._turns)

    def _draw(self, tools: _Tools, batch: _Batch) -> Frames:
        rgb = np.stack(batch.pictures)
        rows = [k for k, number in enumerate(batch.numbers) if self._fit["present"][number]]
        if rows:
            self._dub(tools.warper((rgb.shape[2], rgb.shape[1])), rgb, rows, batch)
        if self._controls.crop == "head":
            x0, y0, x1, y1 = head_box(self._fit["landmarks"][0], (rgb.shape[2], rgb.shape[1]))
            rgb = np.ascontiguousarray(rgb[:, y0:y1, x0:x1])
        return Frames(rgb=rgb, start=batch.start)

    def _dub(self, warper: Warper, rgb: np.ndarray, rows: list[int], batch: _Batch) -> None:
        """Draw the mouths of some `rows` of a batch into its pictures uint8 [K, H, W, 3]."""
        config, views, tops = self._refiner.config, [], []
        for k in rows:
            picture, number = batch.pictures[k], int(batch.numbers[k])
            points = self._fit["landmarks"][number]
            target = self._target(number, batch.motion.expression[k])
            skin = read_skin(picture, points)
            top = self._warp(warper, picture, points, target, rgb[k])
            if top < rgb.shape[1]:
                hidden_mouth(picture, points, skin).fill(rgb[k], target)
            tops.append(top)
            window = window_at(points, window_side(points), config.crop_px)
            drawn = Drawn(picture=rgb[k], alpha=None, source=points, target=target)
            photo = look_at(picture, points, config, None, self._mouth, skin)
            views.append(make_view(drawn, photo, window, config.mouth_px))
        face, mouth = self._refiner.changes(views + [views[-1]] * (self._batch - len(views)))
        for k, row in enumerate(rows):
            composite_residual(rgb[row], batch.pictures[row], views[k], face[k], mouth[k], tops[k])

    def _target(self, number: int, expression: np.ndarray) -> np.ndarray:
        """The frame's own landmarks with the spoken mouth in place of the clip's."""
        change = expression - self._fit["expression"][number]
        change[self._model.num_mouth :] = 0
        moved = self._model.displacement(amplified(change, self._gains))
        return self._fit["landmarks"][number] + self._fit["scale"][number] * moved @ self._fit["rotation"][number].T

    def _warp(
        self, warper: Warper, picture: np.ndarray, points: np.ndarray, target: np.ndarray, out: np.ndarray
    ) -> int:
        """Draw the face of `picture` uint8 [H, W, 3] with landmarks [478, 3] moved to `target` into its copy `out`.

        Only the part of it that moves: brows and eyes stay the clip's own. Returns the row where that begins, that
        below the picture if nothing moves.
        """
        outer, moved = _rings(points, target)
        vertices = np.concatenate([target, moved]).astype(np.float32)
        shown = np.concatenate([points, outer]).astype(np.float32)
        moves: np.ndarray = np.any(np.abs(vertices[:, :2] - shown[:, :2]) > _LEAST_MOVE_PX, axis=1)
        corners = np.unique(self._triangles[moves[self._triangles].any(1)])
        if not len(corners):
            return out.shape[0]
        region = _around(np.concatenate([vertices[corners], shown[corners]]), out)
        x0, y0, x1, y1 = _around(shown, picture)
        face = to_rgba(picture[y0:y1, x0:x1])
        warper.warp(face, shown[:, :2] - (x0, y0), vertices, self._triangles, out, region=region)
        return region[1]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Frames from `start` on: the clip's `pictures` uint8 [H, W, 3], of `numbers` [K], and their motion."""

    start: int
    pictures: list[np.ndarray]
    numbers: np.ndarray
    motion: Motion


class _Tools:
    """What one thread draws with."""

    def __init__(self) -> None:
        self._warper: Warper | None = None

    def warper(self, size: tuple[int, int]) -> Warper:
        """For pictures of `size` (width, height)."""
        if self._warper is None or self._warper.size != size:
            self._warper = Warper(size)
        return self._warper


def _around(points: np.ndarray, picture: np.ndarray) -> Box:
    """The part (x0, y0, x1, y1) of a picture [H, W, ...] that holds `points` [V, 2 or 3] and what is sampled there; at
    least two pixels."""
    height, width = picture.shape[:2]
    low, high = np.floor(points[:, :2].min(0)).astype(int) - 3, np.ceil(points[:, :2].max(0)).astype(int) + 3
    x0, y0 = (max(0, min(int(value), side - 2)) for value, side in zip(low, (width, height), strict=True))
    x1, y1 = (max(2, min(int(value), side)) for value, side in zip(high, (width, height), strict=True))
    return x0, y0, x1, y1


def _rings(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points around the face outline: where they are, and where they go."""
    oval = list(FACE_OVAL)
    unit = float(np.linalg.norm(points[33] - points[263]))
    outward = points[oval] - points[oval].mean(0)
    outward[:, 2] = 0
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    rest = [points[oval] + outward * far * unit + (0, 0, 0.1 * unit) for far, _ in RINGS]
    move = target[oval] - points[oval]
    return np.concatenate(rest), np.concatenate([r + s * move for r, (_, s) in zip(rest, RINGS, strict=True)])


def _triangles() -> np.ndarray:
    """Skin, mouth opening and the rings; eyes stay as they are."""
    n = len(FACE_OVAL)
    lines = [list(FACE_OVAL), *[[NUM_POINTS + ring * n + k for k in range(n)] for ring in range(len(RINGS))]]
    strips = []
    for near, far in itertools.pairwise(lines):
        for k in range(n):
            j = (k + 1) % n
            strips += [(near[k], near[j], far[k]), (near[j], far[j], far[k])]
    return np.concatenate([skin_triangles(), mouth_triangles(), np.array(strips, np.int32)])
