"""Run the refiner on batches of frames and lay its changes onto pictures of any size."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.nn.unet_cpu import CpuNet
from talkingface.photo.composite import hidden_mouth
from talkingface.photo.config import RefinerConfig
from talkingface.photo.mouth import (
    OpenMouth,
    Patch,
    carry,
    dark_mouth,
    fitted,
    grey,
    inside,
    open_mouth,
    own_share,
    patch_at,
    shows_inside,
    stored_mouth,
)
from talkingface.photo.window import (
    Skin,
    Window,
    away_from_ghosts,
    cut,
    eye_discs,
    face_area,
    mouth_corner,
    openings,
    read_skin,
    stillness,
    window_at,
    window_side,
)
from talkingface.video.resize import shrink

STORED_PREFIX = "painter."
"""Begins the names of the refiner's tensors in weights files, which keep the name it once had."""
EXAMPLE_PREFIX = f"{STORED_PREFIX}example."
"""Begins the names of the tensors of the open mouth for photos that show none."""
CAVITY = np.array([0.9, 1.1, 1.1])  # colour of what neither half covers, over that of a hidden mouth
OPENING_BLUR_PX = 0.8
LIPS_PX, SHADE_PX = 5, 13  # sides of the squares over which colours of lips, and shades, are averaged
SHADE = (-0.55, 0.4)  # least and most of what is added to the inside of a mouth, over its own brightness
SHADE_TINT = np.array([0.85, 1.05, 1.05], np.float32)  # of it: light that has been in a mouth is red
ROUND = (
    0.38,
    0.48,
)  # from the middle of the window, in its sides: where colours begin to fade, and where there are none
OUTLINE_PX = 2  # to either side of the person's outline, at half the crop's scale, no colour is added
SOFT_PX, WEAK = 9, 0.03
"""Of the colour that is added outside of the face: side of the squares over which it is averaged, and its most."""
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
    """The refiner's inputs for one frame: its window, uint8 pictures [S, S, C], the mouth patch's corner in it,
    the discs of the resting eyes, the `face` float32 [S/2, S/2] (`window.face_area`), how much it rests, and the gains
    of `window.Skin`.

    `patch` is where the mouth patch lies in the frame, `lips` uint8 [h, w, 4] are its colours and opening, `inside`
    float32 [h, w, 3] what is seen through the opening, `own` how much of the picture's own inside stays there, `halves`
    uint8 [h, w, 2] where the inside shows both halves, and `shade_tint` [3] the tint of shadows there, less the more of
    the picture's own inside stays.
    """

    window: Window
    warped: np.ndarray
    still: np.ndarray
    masks: np.ndarray
    corner: tuple[int, int]
    eyes: np.ndarray
    face: np.ndarray
    stillness: float
    balance: np.ndarray
    patch: Patch
    lips: np.ndarray
    inside: np.ndarray
    halves: np.ndarray
    shade_tint: np.ndarray
    own: float

    @property
    def pictures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The inputs of `FaceNet`, in its order."""
        return self.warped, self.still, self.masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """What stays the same for all frames of a photo: resting picture, colour balance, the open mouth to show, the
    colour [3] behind it and the tint [3] of its shadows; and what is seen of the resting picture in its own window."""

    still: np.ndarray
    balance: np.ndarray
    mouth: OpenMouth
    dark: np.ndarray
    shade_tint: np.ndarray
    window: Window
    seen: np.ndarray

    def through(self, window: Window) -> np.ndarray:
        """The resting picture in `window`, uint8 [S, S, 3]."""
        if window == self.window:
            return self.seen
        return shrink(cut(self.still, window.box()), (window.crop, window.crop))


def look_at(
    rgb: np.ndarray,
    points: np.ndarray,
    config: RefinerConfig,
    still: np.ndarray | None = None,
    mouth: OpenMouth | None = None,
    skin: Skin | None = None,
) -> Photo:
    """Prepare a photo uint8 [H, W, 3] with landmarks `points`; `still` where it rests before another background.

    `mouth`: the open mouth whose inside is shown; None: the photo's own (see `Refiner.mouth_for`). `skin`: the photo's,
    if it has been read.
    """
    window, still = window_at(points, window_side(points), config.crop_px), rgb if still is None else still
    skin = skin or read_skin(rgb, points)
    if mouth is None:
        mouth = open_mouth(rgb, points, config)
    elif not skin.is_coloured:
        mouth = grey(mouth)
    cavities = CAVITY * hidden_mouth(rgb, points, skin).colour, mouth.darkest * mouth.balance / skin.balance
    return Photo(
        still=still,
        balance=skin.balance,
        mouth=mouth,
        dark=min(cavities, key=lambda colour: float(colour.mean())),  # lighter than the mouth's own dark it is a rim
        shade_tint=SHADE_TINT if skin.is_coloured else np.ones(3, np.float32),
        window=window,
        seen=shrink(cut(still, window.box()), (window.crop, window.crop)),
    )


def make_view(drawn: Drawn, photo: Photo, window: Window, size: tuple[int, int]) -> View:
    """Look at a warped picture through `window`; `size` (width, height) of its mouth patch in crop pixels."""
    square = (window.crop, window.crop)
    points = window.to_crop(drawn.target)
    mouth, eyes = openings(points, square)
    corner = mouth_corner(points, window.crop, size)
    patch = patch_at(window, corner, size)
    target = patch.to_patch(drawn.target)
    upper, lower = carry(photo.mouth, target, patch.size)
    own = own_share(drawn.source, drawn.target)
    if drawn.alpha is None:
        person = np.full(mouth.shape, 255, np.uint8)
    else:
        person = shrink(cut(drawn.alpha, window.box()), square)
    return View(
        window=window,
        warped=shrink(cut(drawn.picture, window.box()), square),
        still=photo.through(window),
        masks=cv2.merge([person, eyes, mouth]),
        corner=corner,
        eyes=eye_discs(window.to_crop(drawn.source)),
        face=face_area(points / 2, window.crop // 2),
        stillness=stillness(drawn.source, drawn.target, window),
        balance=photo.balance,
        patch=patch,
        lips=cv2.merge([*cv2.split(patch.cut(drawn.picture)), openings(target, patch.size)[0]]),
        inside=inside(upper, lower, photo.mouth.balance / photo.balance, photo.dark),
        halves=cv2.merge([upper[..., 3], lower[..., 3]]),
        shade_tint=np.float32(1 - own) * photo.shade_tint,
        own=own,
    )


class Refiner:
    """The trained refiner, ready to run on the CPU (by OpenCV) or a GPU (by torch)."""

    def __init__(self, tensors: Mapping[str, np.ndarray], config: RefinerConfig, device: str = "cpu") -> None:
        """`tensors`: arrays whose names begin with `STORED_PREFIX`; others are ignored. None of them: random ones."""
        self.config = config
        named = {
            name: np.asarray(value, np.float32) for name, value in tensors.items() if name.startswith(STORED_PREFIX)
        } or init_weights(config)
        self.example = stored_mouth(named, EXAMPLE_PREFIX) or dark_mouth(config)
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

    def mouth_for(self, points: np.ndarray) -> OpenMouth | None:
        """The mouth to carry over to a photo with landmarks `points` [478, 3]: None, its own, or the example's."""
        return None if shows_inside(points) else fitted(self.example, points, self.config)

    def changes(self, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
        """Changes of the face (share, colour) [B, S/2, S/2, 4] and of the mouth (colour) [B, h, w, 3], float32.

        The same as `face_changes` and `mouth_changes` of the recipes, with all pixel work on small uint8 pictures.
        """
        face = self.face_changes(views)
        return face, self.mouth_changes(views, face)

    def face_changes(self, views: list[View]) -> np.ndarray:
        """Share of the resting picture and colour to add, float32 [B, S/2, S/2, 4]."""
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
        for added, view in zip(colour, views, strict=True):
            confine(added, view.face)
        # behind the lips `FaceNet` has learned nothing
        colour *= np.stack([within_person(planes[6]) * (1 - planes[8]) for planes in seen])[:, None] / gains
        return _merged(planes)

    def mouth_changes(self, views: list[View], face: np.ndarray) -> np.ndarray:
        """Colour to add to the mouth patches after the changes `face` of `face_changes`: float32 [B, h, w, 3]."""
        width, height = self.config.patch_px
        seen = np.empty((len(views), 6, height, width), np.float32)
        change = np.empty((len(views), height, width, 3), np.float32)
        patches = []
        for planes, added, view, colour in zip(seen, change, views, face, strict=True):
            before = lips_before(view, colour)
            patches.append(mouth_seen(view, before))
            np.multiply(patches[-1][..., :3] - before, np.float32(1 / 255), out=added)
            _scale(patches[-1], np.append(view.balance, np.ones(3, np.float32)) / 255, planes)
        for added, patch, view, drawn in zip(change, patches, views, _merged(self._mouth(seen)), strict=True):
            added += shaded(drawn, patch, view.balance, view.shade_tint)
        return change


def within_person(alpha: np.ndarray) -> np.ndarray:
    """How much of the face's colours counts, [H, W] in [0, 1], for opacities [H, W]: none at the outline and beyond,
    and none in the corners of the window.

    Beside a background unlike those of the training the network is wrong there, and what it draws beyond the outline
    are ghosts of it. On collars, which the corners hold, it draws blocks. On val clips this costs 0.07 dB.
    """
    side = 2 * OUTLINE_PX + 1
    inner = cv2.erode(alpha, np.ones((side, side), np.uint8))
    return _in_round(*alpha.shape) * cv2.blur(inner, (side, side), borderType=cv2.BORDER_REPLICATE)


@functools.cache
def _in_round(height: int, width: int) -> np.ndarray:
    """1 in the round middle of a window, 0 in its corners: [H, W]."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in (height, width))
    far = np.hypot(y[:, None], x[None]).astype(np.float32)
    return np.clip((ROUND[1] - far) / (ROUND[1] - ROUND[0]), 0, 1)


def confine(colour: np.ndarray, face: np.ndarray) -> None:
    """Make `colour` float32 [3, H, W] soft and weak outside of the `face` [H, W] (see `window.face_area`), in place.

    Hair and collars that move beside a face are too various to learn: what the network draws there are blocks.
    """
    for plane in colour:
        soft = np.clip(cv2.blur(plane, (SOFT_PX, SOFT_PX)), -WEAK, WEAK)
        plane[:] = soft + face * (plane - soft)


class NoRefiner(Refiner):
    """A refiner that changes nothing: what refining adds is measured against the bare warp."""

    def __init__(self, config: RefinerConfig) -> None:
        self.config = config

    def mouth_for(self, points: np.ndarray) -> OpenMouth | None:
        return None

    def changes(self, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
        half, (width, height) = self.config.crop_px // 2, self.config.patch_px
        return np.zeros((len(views), half, half, 4), np.float32), np.zeros((len(views), height, width, 3), np.float32)


def _see_face(planes: np.ndarray, view: View) -> None:
    """Write the warped and the resting picture in the refiner's tint, and the masks, to float32 [9, S/2, S/2]."""
    size = (planes.shape[2], planes.shape[1])
    scales = (view.balance / 255, view.balance / 255, np.full(3, 1 / 255, np.float32))
    for k, (picture, scale) in enumerate(zip(view.pictures, scales, strict=True)):
        _scale(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale, planes[3 * k : 3 * k + 3])


def lips_before(view: View, change: np.ndarray) -> np.ndarray:
    """The mouth patch with the colour of the face's `change` [S/2, S/2, 4] added: float32 [h, w, 3] in [0, 255].

    The share of the resting picture is left out: it is nothing at the mouth (`window.away_from_ghosts`).
    """
    (x, y), (width, height) = view.corner, view.patch.size
    larger = _thrice(np.ascontiguousarray(change[..., 1:]), (x // 2, y // 2), (width // 3, height // 3))
    return np.clip(view.lips[..., :3] + 255 * larger, 0, 255)


def mouth_seen(view: View, before: np.ndarray) -> np.ndarray:
    """What `MouthNet` sees: the patch `before` with its inside, the opening, and both halves: uint8 [h, w, 6]."""
    shown = np.float32((1 - view.own) / 255)
    opening = cv2.GaussianBlur(view.lips[..., 3], (0, 0), OPENING_BLUR_PX)[..., None] * shown
    filled = before + opening * (view.inside - before)
    return np.dstack([cv2.convertScaleAbs(filled), view.lips[..., 3], view.halves])


def shaded(drawn: np.ndarray, seen: np.ndarray, balance: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """The colour float32 [h, w, 3] that `MouthNet`'s output `drawn` [h, w, 4] adds to what it has `seen` [h, w, 6].

    Both are smooth. Behind the lips it only makes lighter or darker what is there: free to add colours, it would lay
    the mean of all mouths over teeth and cavity, which is a grey plate. `tint` [3] is that of the shade.
    """
    opening = seen[..., 3:4] * np.float32(1 / 255)
    colour = cv2.blur(drawn[..., :3], (LIPS_PX, LIPS_PX)) / balance
    shade = np.clip(cv2.blur(drawn[..., 3], (SHADE_PX, SHADE_PX)), *SHADE)[..., None] * (tint / 255)
    return colour + opening * (shade * seen[..., :3] - colour)


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


def _thrice(change: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The part of `change` [H, W, C] of `size` (width, height) at `corner`, enlarged three times."""
    (x, y), (width, height) = corner, size
    left, top = max(x - 1, 0), max(y - 1, 0)
    near = change[top : y + height + 1, left : x + width + 1]
    larger = cv2.resize(near, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    return larger[3 * (y - top) : 3 * (y - top + height), 3 * (x - left) : 3 * (x - left + width)]


def init_weights(config: RefinerConfig) -> dict[str, np.ndarray]:
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


def composite_residual(
    out: np.ndarray, still: np.ndarray, view: View, face: np.ndarray, mouth: np.ndarray, top: int = 0
) -> None:
    """Lay one frame's changes onto `out` uint8 [H, W, 3], in place. Above row `top` the face needs none: its change
    fades out there."""
    window, still = view.window, np.ascontiguousarray(still)
    step = window.side / len(face)
    above = int(np.clip((top - window.y) / step - EDGE_PX, 0, len(face) - 1))
    place = float(window.x), window.y + above * step, float(window.side), window.side - above * step
    _lay(out, still, face[above:], place)
    x0, y0, x1, y1 = view.patch.box
    no_share = np.concatenate([np.zeros((*mouth.shape[:2], 1), np.float32), mouth], -1)
    _lay(out, still, no_share, (float(x0), float(y0), float(x1 - x0), float(y1 - y0)))
