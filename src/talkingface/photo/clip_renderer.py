"""Dub a clip: every frame keeps its own pixels, head motion and eyes; only the mouth follows the new speech."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from talkingface.core.motion import batches, ping_pong, skip_frames
from talkingface.core.pace import PACES
from talkingface.core.spool import Spool
from talkingface.core.types import NUM_POINTS, Controls, Frames, Motion
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.pose import head_box
from talkingface.face.raster import Warper, to_rgba
from talkingface.face.search import turn
from talkingface.face.topology import FACE_OVAL, mouth_triangles, skin_triangles
from talkingface.photo.composite import hidden_mouth
from talkingface.photo.refine import Drawn, Refiner, composite_residual, look_at, make_view
from talkingface.photo.window import window_at, window_side
from talkingface.video.jpeg import from_jpeg, to_jpeg

RINGS = ((0.12, 0.35), (0.3, 0.0))  # distance outside the face outline in eye distances, share of its movement
_SPOOL_QUALITY = 97


class ClipRenderer:
    """Draws new mouths onto the frames of a clip.

    `landmarks` [T, 478, 3], `expression` [T, E], `rotation` [T, 3, 3] and `scale` [T] belong to the clip's frames at
    `fps`, as `video.read.read_frames(path, fps=fps)` gives them, turned counter-clockwise by `turns` quarters. Frames
    whose `present` [T] is 0 do not show the face and pass as they are.
    """

    def __init__(
        self, path: Path, fps: float, longest_px: int | None, model: LinearFaceModel, fit: dict[str, np.ndarray],
        refiner: Refiner, controls: Controls, turns: int = 0,
    ) -> None:  # fmt: skip
        self._path, self._fps, self._longest_px, self._turns = path, fps, longest_px, turns
        self._model, self._fit, self._refiner, self._controls = model, fit, refiner, controls
        self._batch = PACES[controls.delay].batch
        self._triangles = _triangles()

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`. Past the clip's end it plays backwards, then forwards again."""
        source: Iterator[np.ndarray] | None = None
        warper: Warper | None = None
        for start, motion in batches(skip_frames(motions, first), self._batch):
            if source is None:
                source = self._source(start)
            numbers = ping_pong(np.arange(start, start + len(motion)), len(self._fit["landmarks"]))
            pictures = [next(source) for _ in numbers]
            if warper is None:
                warper = Warper((pictures[0].shape[1], pictures[0].shape[0]))
            yield self._draw(warper, start, pictures, numbers, motion)

    def _source(self, first: int) -> Iterator[np.ndarray]:
        """Frames of the clip from output frame `first` on, forwards and backwards for ever."""
        from talkingface.video.read import read_frames

        with Spool() as spool:
            count = len(self._fit["landmarks"])
            for frame in islice(read_frames(self._path, fps=self._fps, longest_px=self._longest_px), count):
                rgb = turn(frame.rgb, self._turns)
                spool.append(to_jpeg(rgb, _SPOOL_QUALITY))
                if len(spool) > first:
                    yield rgb
            for number in itertools.count(max(len(spool), first)):  # a video cannot be decoded backwards
                at = int(ping_pong(np.array([number]), count)[0])
                yield from_jpeg(spool[at])

    def _draw(
        self, warper: Warper, start: int, pictures: list[np.ndarray], numbers: np.ndarray, motion: Motion
    ) -> Frames:
        rgb = np.stack(pictures)
        rows = [k for k, number in enumerate(numbers) if self._fit["present"][number]]
        if rows:
            self._dub(warper, rgb, rows, numbers, motion)
        if self._controls.crop == "head":
            x0, y0, x1, y1 = head_box(self._fit["landmarks"][0], (rgb.shape[2], rgb.shape[1]))
            rgb = np.ascontiguousarray(rgb[:, y0:y1, x0:x1])
        return Frames(rgb=rgb, start=start)

    def _dub(self, warper: Warper, rgb: np.ndarray, rows: list[int], numbers: np.ndarray, motion: Motion) -> None:
        """Draw the mouths of some `rows` of the pictures uint8 [K, H, W, 3], which are the clip's frames `numbers`."""
        views, outs = [], []
        for k in rows:
            picture, number = rgb[k], numbers[k]
            points = self._fit["landmarks"][number]
            target = self._target(int(number), motion.expression[k])
            out, alpha = self._warp(warper, picture, points, target)
            window = window_at(points, window_side(points), self._refiner.config.crop_px)
            drawn = Drawn(picture=out, alpha=alpha, source=points, target=target)
            photo = look_at(picture, points, self._refiner.config)
            views.append(make_view(drawn, photo, window, self._refiner.config.mouth_px))
            outs.append(out)
        face, mouth = self._refiner.changes(views + [views[-1]] * (self._batch - len(views)))
        for k, (row, out) in enumerate(zip(rows, outs, strict=True)):
            composite_residual(out, rgb[row], views[k], face[k], mouth[k])
            rgb[row] = out

    def _target(self, number: int, expression: np.ndarray) -> np.ndarray:
        """The frame's own landmarks with the spoken mouth in place of the clip's."""
        change = expression - self._fit["expression"][number]
        change[self._model.num_mouth :] = 0
        moved = self._model.displacement(change)
        return self._fit["landmarks"][number] + self._fit["scale"][number] * moved @ self._fit["rotation"][number].T

    def _warp(
        self, warper: Warper, picture: np.ndarray, points: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = picture.shape[:2]
        out = to_rgba(picture)
        outer, moved = _rings(points, target)
        vertices = np.concatenate([target, moved]).astype(np.float32)
        shown = np.concatenate([points[:, :2], outer[:, :2]]).astype(np.float32)
        low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
        region = (int(low[0]), int(low[1]), int(high[0]) + 2, int(high[1]) + 2)
        warper.warp(to_rgba(picture), shown, vertices, self._triangles, out, region=region)
        out = np.ascontiguousarray(out[..., :3])
        hidden_mouth(picture, points).fill(out, target)
        return out, np.full((height, width), 255, np.uint8)


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
