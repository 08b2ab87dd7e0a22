"""Run the painter on batches of frames and lay its changes onto pictures of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit, types

from talkingface.systems.portrait.config import PainterConfig
from talkingface.systems.portrait.window import (
    Window,
    away_from_mouth,
    colour_balance,
    cut,
    mouth_corner,
    openings,
    shrink,
    stillness,
    window_at,
    window_side,
)

EDGE_PX = 10.0  # the change fades out this far from the edge of its patch, in the patch's own pixels

_PICTURE = types.uint8[:, :, :]
_STILL = types.Array(types.uint8, 3, "A", readonly=True)
_CHANGE = types.Array(types.float32, 3, "C", readonly=True)


@njit(nogil=True, cache=True, inline="always")
def _bilinear(change, u, v, values):
    h, w = change.shape[0], change.shape[1]
    u = min(max(u - 0.5, 0.0), w - 1.0)
    v = min(max(v - 0.5, 0.0), h - 1.0)
    x, y = int(u), int(v)
    x1, y1 = min(x + 1, w - 1), min(y + 1, h - 1)
    fx, fy = u - x, v - y
    for c in range(4):
        top = change[y, x, c] * (1 - fx) + change[y, x1, c] * fx
        low = change[y1, x, c] * (1 - fx) + change[y1, x1, c] * fx
        values[c] = top * (1 - fy) + low * fy


@njit(types.void(_PICTURE, _STILL, _CHANGE, types.UniTuple(types.float64, 4)), nogil=True, cache=True)
def _lay(out, still, change, place):
    """out += fade * (change[0] * (still - out) + 255 * change[1:]); `change` covers (x, y, width, height) of `out`."""
    left, top, width, height = place
    h, w = change.shape[0], change.shape[1]
    values = np.empty(4, np.float32)
    for y in range(max(0, int(np.floor(top))), min(out.shape[0], int(np.ceil(top + height)))):
        v = (y + 0.5 - top) / height * h
        if v <= 0 or v >= h:
            continue
        for x in range(max(0, int(np.floor(left))), min(out.shape[1], int(np.ceil(left + width)))):
            u = (x + 0.5 - left) / width * w
            if u <= 0 or u >= w:
                continue
            _bilinear(change, u, v, values)
            fade = min(1.0, min(min(u, w - u), min(v, h - v)) / EDGE_PX)
            for c in range(3):
                before = float(out[y, x, c])
                after = before + fade * (values[0] * (still[y, x, c] - before) + 255 * values[c + 1])
                out[y, x, c] = np.uint8(min(max(after + 0.5, 0.0), 255.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A warped `picture` uint8 [H, W, 3], the person's opacity `alpha` [H, W], landmarks before and after [478, 3]."""

    picture: np.ndarray
    alpha: np.ndarray
    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the painter sees of one frame: its window, uint8 pictures [S, S, C], the mouth patch's corner,
    how much it rests, and the gains of `window.colour_balance`."""

    window: Window
    warped: np.ndarray
    still: np.ndarray
    masks: np.ndarray
    own_mouth: np.ndarray
    corner: tuple[int, int]
    stillness: float
    balance: np.ndarray

    @property
    def pictures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `FaceNet` sees, in its order."""
        return self.warped, self.still, self.masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """What stays the same for all frames of a photo: the resting picture, its mouth patch, its colour balance."""

    still: np.ndarray
    own_mouth: np.ndarray
    balance: np.ndarray


def look_at(rgb: np.ndarray, points: np.ndarray, config: PainterConfig, still: np.ndarray | None = None) -> Photo:
    """Prepare a photo uint8 [H, W, 3] with landmarks `points`; `still` where it rests before another background."""
    window = window_at(points, window_side(points), config.crop_px)
    return Photo(
        still=rgb if still is None else still,
        own_mouth=own_mouth(rgb, points, window, config.mouth_px),
        balance=colour_balance(rgb, points),
    )


def make_view(drawn: Drawn, photo: Photo, window: Window, size: tuple[int, int]) -> View:
    """Look at a warped picture through `window`."""
    square = (window.crop, window.crop)
    points = window.to_crop(drawn.target)
    mouth, eyes = openings(points, square)
    return View(
        window=window,
        warped=shrink(cut(drawn.picture, window.box()), square),
        still=shrink(cut(photo.still, window.box()), square),
        masks=np.dstack([shrink(cut(drawn.alpha, window.box()), square), eyes, mouth]),
        own_mouth=photo.own_mouth,
        corner=mouth_corner(points, window.crop, size),
        stillness=stillness(drawn.source, drawn.target, window),
        balance=photo.balance,
    )


def own_mouth(photo: np.ndarray, source: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """The photo's own mouth patch and its opening, uint8 [h, w, 4], for landmarks `source` [478, 3]."""
    square = (window.crop, window.crop)
    points = window.to_crop(source)
    x, y = mouth_corner(points, window.crop, size)
    part = np.s_[y : y + size[1], x : x + size[0]]
    return np.dstack([shrink(cut(photo, window.box()), square)[part], openings(points, square)[0][part]])


class Mender:
    """The trained painter, ready to run on the CPU or a GPU."""

    def __init__(self, tensors: Mapping[str, np.ndarray], config: PainterConfig, device: str = "cpu") -> None:
        import torch

        from talkingface.systems.portrait.painter import FaceNet, MouthNet

        self.config = config
        self._torch = torch
        if device == "cpu":
            torch.set_num_threads(1)  # drawing, mending and encoding already fill two cores; OpenMP would only wait
        self._device = torch.device(device)
        self._face, self._mouth = FaceNet(config), MouthNet(config)
        for prefix, net in (("painter.face.", self._face), ("painter.mouth.", self._mouth)):
            state = {
                k[len(prefix) :]: torch.from_numpy(np.array(v, np.float32))
                for k, v in tensors.items()
                if k.startswith(prefix)
            }
            if state:
                net.load_state_dict(state)
            net.eval().requires_grad_(False).to(self._device, memory_format=torch.channels_last)

    def changes(self, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
        """Changes of the face (share, colour) [B, S/2, S/2, 4] and of the mouth (colour) [B, h, w, 3], float32.

        The same as `painter_recipe.paint_changes`, with all pixel work on small uint8 pictures.
        """
        half = self.config.crop_px // 2
        gains = np.stack([v.balance for v in views])[:, None, None]
        seen = np.empty((len(views), half, half, 9), np.float32)
        for row, view in zip(seen, views, strict=True):
            scales = (view.balance / 255, view.balance / 255, np.full(3, 1 / 255, np.float32))
            for k, (picture, scale) in enumerate(zip(view.pictures, scales, strict=True)):
                small = cv2.resize(picture, (half, half), interpolation=cv2.INTER_AREA)
                np.multiply(small, scale, out=row[..., 3 * k : 3 * k + 3])
        share, colour = self._run(self._face, seen)
        rest = np.array([v.stillness for v in views], np.float32)[:, None, None]
        share *= (rest * away_from_mouth(np.array([v.corner for v in views]), self.config))[..., None]
        face = np.concatenate([share, colour * seen[..., 6:7] / gains], -1)
        (mouth,) = self._run(self._mouth, np.stack([self._mouth_input(v, c) for v, c in zip(views, face, strict=True)]))
        return face, mouth / gains

    def _mouth_input(self, view: View, change: np.ndarray) -> np.ndarray:
        """The mended mouth patch, its opening and the photo's own mouth, float32 [h, w, 8] in the painter's tint."""
        x, y = view.corner
        width, height = self.config.mouth_px
        part = np.s_[y : y + height, x : x + width]
        change = cv2.resize(change, (self.config.crop_px,) * 2, interpolation=cv2.INTER_LINEAR)[part]
        warped, still = view.warped[part].astype(np.float32), view.still[part]
        mended = warped + change[..., :1] * (still - warped) + 255 * change[..., 1:]
        patch = np.empty((height, width, 8), np.float32)
        scale = view.balance / 255
        np.multiply(mended, scale, out=patch[..., :3])
        np.multiply(view.masks[part][..., 2], np.float32(1 / 255), out=patch[..., 3])
        np.multiply(view.own_mouth, np.append(scale, np.float32(1 / 255)), out=patch[..., 4:])
        return patch

    def _run(self, net: Any, pictures: np.ndarray) -> list[np.ndarray]:
        """The net's outputs [B, H, W, C] for float32 pictures [B, H, W, C]; NHWC is torch's channels_last."""
        torch = self._torch
        with torch.inference_mode():
            out = net(torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2))
            planes = out if isinstance(out, tuple) else (out,)
            return [p.permute(0, 2, 3, 1).contiguous().cpu().numpy() for p in planes]


def lay_changes(out: np.ndarray, still: np.ndarray, view: View, face: np.ndarray, mouth: np.ndarray) -> None:
    """Lay one frame's changes onto `out` uint8 [H, W, 3], in place."""
    window = view.window
    _lay(out, still, face, (float(window.x), float(window.y), float(window.side), float(window.side)))
    x, y = view.corner
    height, width = mouth.shape[:2]
    place = (window.x + x / window.scale, window.y + y / window.scale, width / window.scale, height / window.scale)
    no_share = np.concatenate([np.zeros((height, width, 1), np.float32), mouth], -1)
    _lay(out, still, no_share, tuple(float(v) for v in place))
