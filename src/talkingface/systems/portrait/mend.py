"""Run the painter on batches of frames and lay its changes onto pictures of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit, types

from talkingface.systems.portrait.config import PainterConfig
from talkingface.systems.portrait.window import Window, cut, mouth_corner, openings, shrink

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
    """out += fade * (change[0] * (still - out) + 255 * change[1:]), `change` covering (x, y, width, height) of `out`.

    With `still` black this paints: opacity change[0] and premultiplied colour change[1:].
    """
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
class View:
    """What the painter sees of one frame: its window, uint8 pictures [S, S, C], and the mouth patch's corner."""

    window: Window
    warped: np.ndarray
    still: np.ndarray
    masks: np.ndarray
    own_mouth: np.ndarray
    corner: tuple[int, int]


def make_view(
    picture: np.ndarray, still: np.ndarray, alpha: np.ndarray, target: np.ndarray, window: Window, own: np.ndarray, size: tuple[int, int]
) -> View:
    """Look at a warped `picture` [H, W, 3] whose face has landmarks `target`; `own` is the photo's own mouth patch."""
    square = (window.crop, window.crop)
    points = window.to_crop(target)
    mouth, eyes = openings(points, square)
    return View(
        window=window,
        warped=shrink(cut(picture, window.box()), square),
        still=shrink(cut(still, window.box()), square),
        masks=np.dstack([shrink(cut(alpha, window.box()), square), eyes, mouth]),
        own_mouth=own,
        corner=mouth_corner(points, window.crop, size),
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
            state = {k[len(prefix) :]: torch.from_numpy(np.array(v, np.float32)) for k, v in tensors.items() if k.startswith(prefix)}
            if state:
                net.load_state_dict(state)
            net.eval().requires_grad_(False).to(self._device, memory_format=torch.channels_last)

    def changes(self, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
        """Changes of the face [B, S/2, S/2, 4] and of the mouth [B, h, w, 4], float32: share or opacity, then colour."""
        from talkingface.systems.portrait.painter_recipe import paint_changes, to_tensors

        samples = [
            {"warped": v.warped, "still": v.still, "masks": v.masks, "own_mouth": v.own_mouth, "corner": np.array(v.corner)}
            for v in views
        ]
        with self._torch.inference_mode():
            batch = {name: values.to(self._device) for name, values in to_tensors(samples).items()}
            face, mouth = paint_changes(self._face, self._mouth, batch, self.config)
            pair = [x.permute(0, 2, 3, 1).contiguous().float().cpu().numpy() for x in (face, mouth)]
        return pair[0], pair[1]


_BLACK = np.zeros((1, 1, 3), np.uint8)


def lay_changes(out: np.ndarray, still: np.ndarray, view: View, face: np.ndarray, mouth: np.ndarray) -> None:
    """Lay one frame's changes onto `out` uint8 [H, W, 3], in place."""
    window = view.window
    _lay(out, still, face, (float(window.x), float(window.y), float(window.side), float(window.side)))
    x, y = view.corner
    height, width = mouth.shape[:2]
    place = (window.x + x / window.scale, window.y + y / window.scale, width / window.scale, height / window.scale)
    _lay(out, np.broadcast_to(_BLACK, out.shape), mouth, tuple(float(v) for v in place))


