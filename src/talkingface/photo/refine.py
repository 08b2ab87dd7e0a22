"""Run the refiner on batches of frames and lay its changes onto pictures of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.nn.unet_cpu import CpuNet
from talkingface.photo.config import RefinerConfig
from talkingface.photo.window import (
    Window,
    away_from_ghosts,
    colour_balance,
    cut,
    eye_discs,
    mouth_corner,
    openings,
    stillness,
    window_at,
    window_side,
)
from talkingface.video.resize import shrink

STORED_PREFIX = "painter."
"""Begins the names of the refiner's tensors in weights files, which keep the name it once had."""
OUTLINE_PX = 2  # to either side of the person's outline, at half the crop's scale, no colour is added
EDGE_PX = 10.0  # the change fades out this far from the edge of its patch, in the patch's own pixels

_PICTURE = types.uint8[:, :, ::1]
_STILL = types.Array(types.uint8, 3, "C", readonly=True)
_CHANGE = types.Array(types.float32, 3, "C", readonly=True)


@kernel(types.void(_PICTURE, _STILL, _CHANGE, types.UniTuple(types.float64, 4)), error_model="numpy")
def _lay(out, still, change, place):
    """out += fade * (change[0] * (still - out) + 255 * change[1:]); `change` covers (x, y, width, height) of `out`.

    Loops over the three colours of a row at once, each simple enough to be done several values at a time."""
    left, top, width, height = place
    h, w = change.shape[0], change.shape[1]
    x_first, x_end = max(0, int(np.floor(left))), min(out.shape[1], int(np.ceil(left + width)))
    while x_first < x_end and (x_first + 0.5 - left) / width * w <= 0:
        x_first += 1
    while x_first < x_end and (x_end - 0.5 - left) / width * w >= w:
        x_end -= 1
    count = 3 * max(0, x_end - x_first)
    # for each value of a row of `out`: the values of a row of changes beside it, how near the second is, its fading
    share, next_share = np.empty(count, np.uint64), np.empty(count, np.uint64)
    colour, next_colour = np.empty(count, np.uint64), np.empty(count, np.uint64)
    part, fades = np.empty(count, np.float32), np.empty(count, np.float32)
    for k in range(count):
        u = (x_first + k // 3 + 0.5 - left) / width * w
        inner = min(max(u - 0.5, 0.0), w - 1.0)
        x0 = int(inner)
        share[k], next_share[k] = 4 * x0, 4 * min(x0 + 1, w - 1)
        colour[k], next_colour[k] = share[k] + 1 + k % 3, next_share[k] + 1 + k % 3
        part[k], fades[k] = inner - x0, min(1.0, min(u, w - u) / EDGE_PX)
    changes = change.reshape(h, 4 * w)
    line = np.empty(4 * w, np.float32)  # the row of changes that lies under a row of `out`
    shares, colours = np.empty(count, np.float32), np.empty(count, np.float32)
    for y in range(max(0, int(np.floor(top))), min(out.shape[0], int(np.ceil(top + height)))):
        v = (y + 0.5 - top) / height * h
        if v <= 0 or v >= h:
            continue
        y_fade = np.float32(min(v, h - v) / EDGE_PX)
        inner = min(max(v - 0.5, 0.0), h - 1.0)
        y0 = int(inner)
        y1, fy = min(y0 + 1, h - 1), np.float32(inner - y0)
        above, below = changes[y0], changes[y1]
        for x in range(4 * w):
            line[x] = above[x] + fy * (below[x] - above[x])
        for k in range(count):
            shares[k] = line[share[k]] + part[k] * (line[next_share[k]] - line[share[k]])
        for k in range(count):
            colours[k] = line[colour[k]] + part[k] * (line[next_colour[k]] - line[colour[k]])
        row = out[y].reshape(3 * out.shape[1])[3 * x_first : 3 * x_end]
        rest = still[y].reshape(3 * out.shape[1])[3 * x_first : 3 * x_end]
        for k in range(count):
            before = np.float32(row[k])
            change_here = shares[k] * (np.float32(rest[k]) - before) + np.float32(255) * colours[k]
            after = before + min(fades[k], y_fade) * change_here
            row[k] = np.uint8(np.int32(min(max(after + np.float32(0.5), np.float32(0)), np.float32(255))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A warped `picture` uint8 [H, W, 3], the person's opacity `alpha` [H, W] (None: all is the person), landmarks
    before and after [478, 3]."""

    picture: np.ndarray
    alpha: np.ndarray | None
    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The refiner's inputs for one frame: its window, uint8 pictures [S, S, C], the mouth patch's corner, the discs of
    the resting eyes, how much it rests, and the gains of `window.colour_balance`."""

    window: Window
    warped: np.ndarray
    still: np.ndarray
    masks: np.ndarray
    own_mouth: np.ndarray
    corner: tuple[int, int]
    eyes: np.ndarray
    stillness: float
    balance: np.ndarray

    @property
    def pictures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The inputs of `FaceNet`, in its order."""
        return self.warped, self.still, self.masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """What stays the same for all frames of a photo: the resting picture, its mouth patch, its colour balance; and what
    is seen of the resting picture in the window around its own face."""

    still: np.ndarray
    own_mouth: np.ndarray
    balance: np.ndarray
    window: Window
    seen: np.ndarray

    def through(self, window: Window) -> np.ndarray:
        """The resting picture in `window`, uint8 [S, S, 3]."""
        if window == self.window:
            return self.seen
        return shrink(cut(self.still, window.box()), (window.crop, window.crop))


def look_at(rgb: np.ndarray, points: np.ndarray, config: RefinerConfig, still: np.ndarray | None = None) -> Photo:
    """Prepare a photo uint8 [H, W, 3] with landmarks `points`; `still` where it rests before another background."""
    window = window_at(points, window_side(points), config.crop_px)
    square = (window.crop, window.crop)
    own = shrink(cut(rgb, window.box()), square)
    return Photo(
        still=rgb if still is None else still,
        own_mouth=_mouth_patch(own, points, window, config.mouth_px),
        balance=colour_balance(rgb, points),
        window=window,
        seen=own if still is None else shrink(cut(still, window.box()), square),
    )


def make_view(drawn: Drawn, photo: Photo, window: Window, size: tuple[int, int]) -> View:
    """Look at a warped picture through `window`."""
    square = (window.crop, window.crop)
    points = window.to_crop(drawn.target)
    mouth, eyes = openings(points, square)
    if drawn.alpha is None:
        person = np.full(mouth.shape, 255, np.uint8)
    else:
        person = shrink(cut(drawn.alpha, window.box()), square)
    return View(
        window=window,
        warped=shrink(cut(drawn.picture, window.box()), square),
        still=photo.through(window),
        masks=cv2.merge([person, eyes, mouth]),
        own_mouth=photo.own_mouth,
        corner=mouth_corner(points, window.crop, size),
        eyes=eye_discs(window.to_crop(drawn.source)),
        stillness=stillness(drawn.source, drawn.target, window),
        balance=photo.balance,
    )


def own_mouth(photo: np.ndarray, source: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """The photo's own mouth patch and its opening, uint8 [h, w, 4], for landmarks `source` [478, 3]."""
    return _mouth_patch(shrink(cut(photo, window.box()), (window.crop, window.crop)), source, window, size)


def _mouth_patch(seen: np.ndarray, source: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """`own_mouth` from what is `seen` of the photo in the window."""
    points = window.to_crop(source)
    x, y = mouth_corner(points, window.crop, size)
    part = np.s_[y : y + size[1], x : x + size[0]]
    return np.dstack([seen[part], openings(points, (window.crop, window.crop))[0][part]])


class Refiner:
    """The trained refiner, ready to run on the CPU (by OpenCV) or a GPU (by torch)."""

    def __init__(self, tensors: Mapping[str, np.ndarray], config: RefinerConfig, device: str = "cpu") -> None:
        """`tensors`: arrays whose names begin with `STORED_PREFIX`; others are ignored. None of them: random ones."""
        self.config = config
        named = {
            name: np.asarray(value, np.float32) for name, value in tensors.items() if name.startswith(STORED_PREFIX)
        } or _init_weights(config)
        face, mouth = (
            {name[len(start) :]: value for name, value in named.items() if name.startswith(start)}
            for start in (f"{STORED_PREFIX}face.net.", f"{STORED_PREFIX}mouth.net.")
        )
        if device == "cpu":
            self._face, self._mouth = CpuNet(face), CpuNet(mouth)
        else:
            from talkingface.photo.refiner_networks import FaceNet, MouthNet

            self._face = _TorchNet(FaceNet(config).net, face, device)
            self._mouth = _TorchNet(MouthNet(config).net, mouth, device)

    def changes(self, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
        """Changes of the face (share, colour) [B, S/2, S/2, 4] and of the mouth (colour) [B, h, w, 3], float32.

        The same as `refiner_recipe.refiner_changes`, with all pixel work on small uint8 pictures.
        """
        half = self.config.crop_px // 2
        seen = np.empty((len(views), 9, half, half), np.float32)
        for planes, view in zip(seen, views, strict=True):
            _see_face(planes, view)
        planes = self._face(seen)
        share, colour = planes[:, 0], planes[:, 1:]
        share[:] = 1 / (1 + np.exp(3 - share))
        share *= np.array([v.stillness for v in views], np.float32)[:, None, None]
        corners, eyes = np.array([v.corner for v in views]), np.stack([v.eyes for v in views])
        share *= away_from_ghosts(corners, eyes, self.config)
        gains = np.stack([v.balance for v in views])[:, :, None, None]
        colour *= np.stack([within_person(planes[6]) for planes in seen])[:, None] / gains
        face = _merged(planes)
        width, height = self.config.mouth_px
        seen = np.empty((len(views), 8, height, width), np.float32)
        for planes, view, change in zip(seen, views, face, strict=True):
            _see_mouth(planes, view, change)
        mouth = self._mouth(seen)
        mouth /= gains
        return face, _merged(mouth)


def within_person(alpha: np.ndarray) -> np.ndarray:
    """How much of the face's colours counts, [H, W] in [0, 1], for opacities [H, W]: none at the outline and beyond.

    Beside a background unlike those of the training the network is wrong there, and what it draws beyond the outline
    are ghosts of it. On val clips this costs 0.02 dB.
    """
    side = 2 * OUTLINE_PX + 1
    inner = cv2.erode(alpha, np.ones((side, side), np.uint8))
    return cv2.blur(inner, (side, side), borderType=cv2.BORDER_REPLICATE)


class NoRefiner(Refiner):
    """A refiner that changes nothing: what refining adds is measured against the bare warp."""

    def __init__(self, config: RefinerConfig) -> None:
        self.config = config

    def changes(self, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
        half, (width, height) = self.config.crop_px // 2, self.config.mouth_px
        return np.zeros((len(views), half, half, 4), np.float32), np.zeros((len(views), height, width, 3), np.float32)


def _see_face(planes: np.ndarray, view: View) -> None:
    """Write the warped and the resting picture in the refiner's tint, and the masks, to float32 [9, S/2, S/2]."""
    size = (planes.shape[2], planes.shape[1])
    scales = (view.balance / 255, view.balance / 255, np.full(3, 1 / 255, np.float32))
    for k, (picture, scale) in enumerate(zip(view.pictures, scales, strict=True)):
        _scale(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale, planes[3 * k : 3 * k + 3])


def _see_mouth(planes: np.ndarray, view: View, change: np.ndarray) -> None:
    """Write the mouth patch refined by the face's `change`, its opening and the photo's own mouth, in the refiner's
    tint, to float32 [8, h, w]."""
    x, y = view.corner
    height, width = planes.shape[1:]
    part = np.s_[y : y + height, x : x + width]
    share, *colour = cv2.split(_twice(change, view.corner, (width, height)))
    scale = view.balance / 255
    pictures = zip(cv2.split(view.warped[part]), cv2.split(view.still[part]), strict=True)
    for k, (warped, still) in enumerate(pictures):
        before = warped.astype(np.float32)
        np.multiply(before + share * (still - before) + 255 * colour[k], scale[k], out=planes[k])
    np.multiply(view.masks[part][..., 2], np.float32(1 / 255), out=planes[3])
    _scale(view.own_mouth, np.append(scale, np.float32(1 / 255)), planes[4:])


def _merged(planes: np.ndarray) -> np.ndarray:
    """[B, C, H, W] -> [B, H, W, C]."""
    batch, channels, height, width = planes.shape
    merged = np.empty((batch, height, width, channels), planes.dtype)
    for one, parts in zip(merged, planes, strict=True):
        cv2.merge(list(parts), one)
    return merged


def _scale(picture: np.ndarray, factors: np.ndarray, planes: np.ndarray) -> None:
    """Write uint8 `picture` [H, W, C] times `factors` [C] into float32 `planes` [C, H, W]."""
    for values, factor, plane in zip(cv2.split(picture), factors, planes, strict=True):
        np.multiply(values, factor, out=plane)


def _twice(change: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The patch of `size` (width, height) at `corner`, in even pixels, of `change` [H, W, C] enlarged two times."""
    (x, y), (width, height) = corner, size
    left, top = max(x // 2 - 1, 0), max(y // 2 - 1, 0)
    near = change[top : (y + height) // 2 + 1, left : (x + width) // 2 + 1]
    larger = cv2.resize(near, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return larger[y - 2 * top : y - 2 * top + height, x - 2 * left : x - 2 * left + width]


def _init_weights(config: RefinerConfig) -> dict[str, np.ndarray]:
    """Tensors of an untrained refiner."""
    from talkingface.photo.refiner_networks import FaceNet, MouthNet

    nets = {f"{STORED_PREFIX}face.": FaceNet(config), f"{STORED_PREFIX}mouth.": MouthNet(config)}
    return {start + name: value.numpy() for start, net in nets.items() for name, value in net.state_dict().items()}


class _TorchNet:
    """What `CpuNet` is, on the torch device `device`, for a network and its state."""

    def __init__(self, net: Any, weights: Mapping[str, np.ndarray], device: str) -> None:
        import torch

        self._torch, self._device = torch, torch.device(device)
        net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        self._net = net.eval().requires_grad_(False).to(self._device)

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            return self._net(self._torch.from_numpy(pictures).to(self._device)).contiguous().cpu().numpy()


def composite_residual(out: np.ndarray, still: np.ndarray, view: View, face: np.ndarray, mouth: np.ndarray) -> None:
    """Lay one frame's changes onto `out` uint8 [H, W, 3], in place."""
    window, still = view.window, np.ascontiguousarray(still)
    _lay(out, still, face, (float(window.x), float(window.y), float(window.side), float(window.side)))
    x, y = view.corner
    height, width = mouth.shape[:2]
    place = (window.x + x / window.scale, window.y + y / window.scale, width / window.scale, height / window.scale)
    no_share = np.concatenate([np.zeros((height, width, 1), np.float32), mouth], -1)
    _lay(out, still, no_share, tuple(float(v) for v in place))
