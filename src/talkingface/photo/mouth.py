"""The inside of a mouth, taken from a picture in which it is open.

Upper teeth move with the skull; lower teeth and the tongue move with the jaw. So the inside is cut in two below the
upper teeth, each part moves with its bone, and what neither covers is dark. `MouthNet` shades the result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.face.morphable import inner_lip_gap, load_mesh478
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER, LIPS
from talkingface.photo.config import RefinerConfig, patch_size
from talkingface.photo.scene import rigid_between
from talkingface.photo.window import Window, cut, mouth_corner, read_skin, window_at, window_side
from talkingface.video.resize import shrink

LEAST_GAP = 0.06
"""Inner-lip gap in eye distances from which a picture shows the inside of its mouth."""
BEST_GAP = 0.16
"""A gap at which upper and lower teeth show and the lips are not stretched."""
ALIKE = 0.5
"""Share of its gap by which a mouth differs so much that nothing of its own inside stays."""
MOUTH_PREFIX = "mouth."
"""Begins the names of an open mouth's tensors in an avatar."""
_CHIN = np.array([152, 148, 176, 377, 400, 175, 199])
_LIPS = np.array(LIPS)
_UPPER_LIP, _LOWER_LIP = np.array(INNER_LIP_UPPER), np.array(INNER_LIP_LOWER)
TOOTH_LUMA, TOOTH_TINT = 0.6, 0.03  # how bright teeth are at least, over the skin, and how much less red
_CORNERS = (78, 308)
SHOWN, SHOWN_BELOW = 0.06, 0.02
"""How far upper teeth reach below the resting upper lip, and lower ones above the lower lip, in widths of the mouth."""
EDGE_PX = 1.2  # how soft the halves' edges are
DARKER, REDDER = 0.8, 0.02  # over the teeth's brightness, over their share of red: what lies below them


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMouth:
    """Both halves of the inside of a mouth uint8 [h, w, 4] (colours and opacity), its landmarks [478, 3] in their
    pixels, the gains [3] of its face's skin (`window.Skin`), and the mean colour [3] of the `darkest` fifth of what it
    shows; white if it shows nothing."""

    upper: np.ndarray
    lower: np.ndarray
    points: np.ndarray
    balance: np.ndarray
    darkest: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "darkest", _darkest(self.upper, self.lower))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Where the mouth patch lies in a picture, `box` (x0, y0, x1, y1), and its `size` (width, height) once seen."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The patch of `picture` uint8 [H, W, C] at the network's size."""
        return shrink(cut(picture, self.box), self.size)

    def to_patch(self, points: np.ndarray) -> np.ndarray:
        """Picture pixels [..., 3] to patch pixels."""
        x0, y0, x1, y1 = self.box
        scale = np.array([self.size[0] / (x1 - x0), self.size[1] / (y1 - y0)])
        return (points - (x0, y0, 0)) * (*scale, scale.mean())


def patch_at(window: Window, corner: tuple[int, int], size: tuple[int, int]) -> Patch:
    """The patch whose `corner` (x, y) and `size` (width, height) are given in the crop pixels of `window`."""
    left, top = window.x + corner[0] / window.scale, window.y + corner[1] / window.scale
    right, bottom = left + size[0] / window.scale, top + size[1] / window.scale
    box = round(left), round(top), round(right), round(bottom)
    return Patch(box=box, size=patch_size(size))


def open_mouth(picture: np.ndarray, points: np.ndarray, config: RefinerConfig) -> OpenMouth:
    """The mouth of uint8 [H, W, 3] with landmarks `points` [478, 3]."""
    patch = _own_patch(points, config)
    own = patch.to_patch(points)
    colours = patch.cut(picture)
    top, bottom = own[_UPPER_LIP, :2], own[_LOWER_LIP, :2]
    cut_along = top + _upper_share(colours, top, bottom) * (bottom - top)
    upper, lower = (np.dstack([colours, _half(lip, cut_along, patch.size)]) for lip in (top, bottom))
    return OpenMouth(
        upper=upper, lower=lower, points=own.astype(np.float32), balance=read_skin(picture, points).balance
    )


def fitted(mouth: OpenMouth, points: np.ndarray, config: RefinerConfig) -> OpenMouth:
    """Another person's `mouth` in a face with landmarks `points` [478, 3] whose own is closed.

    It gets the width of the lips, and its teeth the place that they have behind resting lips: faces hold them at
    different heights.
    """
    patch = _own_patch(points, config)
    own, other = patch.to_patch(points), mouth.points.astype(np.float64)
    across, wanted = (p[_CORNERS[1], :2] - p[_CORNERS[0], :2] for p in (other, own))
    width = max(float(np.linalg.norm(across)), 1e-3)
    x, y = np.array([across @ wanted, across[0] * wanted[1] - across[1] * wanted[0]]) / width**2
    turned = np.array([[x, -y], [y, x]])
    down = np.array([-wanted[1], wanted[0]])
    halves = []
    for half, lip, shown in ((mouth.upper, 13, SHOWN), (mouth.lower, 14, -SHOWN_BELOW)):
        moved = own[lip, :2] + shown * down - turned @ _lowest(half, other[lip, :2], across)
        halves.append(_moved(half, turned, moved, patch.size))
    return OpenMouth(upper=halves[0], lower=halves[1], points=own.astype(np.float32), balance=mouth.balance)


def _lowest(half: np.ndarray, middle: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Where a half [h, w, 4] ends below the `middle` [2] of its lip; the `middle` itself if it shows nothing there."""
    down = np.array([-across[1], across[0]]) / max(float(np.linalg.norm(across)), 1e-3)
    line = middle + np.arange(-2, half.shape[0])[:, None] * down
    x, y = (np.clip(line[:, k].astype(int), 0, half.shape[1 - k] - 1) for k in range(2))
    seen = np.flatnonzero(half[y, x, 3] > 127)
    return line[seen[-1]] if len(seen) else middle


def _own_patch(points: np.ndarray, config: RefinerConfig) -> Patch:
    window = window_at(points, window_side(points), config.crop_px)
    corner = mouth_corner(window.to_crop(points), config.crop_px, config.mouth_px)
    return patch_at(window, corner, config.mouth_px)


def _moved(half: np.ndarray, turned: np.ndarray, moved: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture uint8 [h, w, 4] whose points go from p to turned [2, 2] @ p + moved [2]."""
    # pixel centres lie at integers plus one half here, at integers in OpenCV
    matrix = np.column_stack([turned, moved + turned @ (0.5, 0.5) - 0.5])
    return cv2.warpAffine(half, matrix, size, flags=cv2.INTER_LINEAR)


def _upper_share(colours: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> float:
    """How far down the opening the upper teeth of `colours` [h, w, 3] reach: to where it is dark or red below its
    brightest line, or, in a smile that shows nothing else, all the way. `top` and `bottom` [N, 2]: inner lips."""
    soft = cv2.GaussianBlur(colours, (0, 0), 1.0).astype(np.float64) + 1
    middle = slice(len(top) // 4, len(top) - len(top) // 4)
    shares = np.linspace(0.1, 0.9, 17)
    places = top[None, middle] + shares[:, None, None] * (bottom - top)[None, middle]
    x, y = (np.clip(places[..., k].astype(int), 0, colours.shape[1 - k] - 1) for k in range(2))
    lines = soft[y, x].mean(1)
    luma, tint = lines @ (0.299, 0.587, 0.114), lines[:, 0] / lines.sum(1)
    brightest = int(np.argmax(luma[: len(luma) * 2 // 3]))
    below = (luma < DARKER * luma[brightest]) | (tint > tint[brightest] + REDDER)
    ends = np.flatnonzero(below[brightest:])
    return float(shares[brightest + ends[0]]) if len(ends) else 1.0


def _half(lip: np.ndarray, edge: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Opacity uint8 [h, w] between a lip [N, 2] and another `edge` [N, 2], without the lip's own border."""
    mask = np.zeros(size[::-1], np.uint8)
    ring = np.round((np.concatenate([lip, edge[::-1]]) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [ring], (255,), shift=4)
    return cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)), (0, 0), EDGE_PX)


def grey(mouth: OpenMouth) -> OpenMouth:
    """The mouth for a picture without colours."""
    upper, lower = (
        cv2.merge([*[cv2.cvtColor(half[..., :3], cv2.COLOR_RGB2GRAY)] * 3, half[..., 3]])
        for half in (mouth.upper, mouth.lower)
    )
    return OpenMouth(upper=upper, lower=lower, points=mouth.points, balance=np.ones(3, np.float32))


def open_mouth_cost(points: np.ndarray) -> np.ndarray:
    """How badly pictures with landmarks [..., 478, 3] would serve as the open mouth: least with upper and lower teeth
    apart in a face seen from the front."""
    gap = inner_lip_gap(points)
    unit = np.linalg.norm(points[..., 33, :] - points[..., 263, :], axis=-1)
    turned = np.abs(points[..., 33, 2] - points[..., 263, 2]) / unit
    return np.where(gap < LEAST_GAP, 1.0, 0.0) + np.abs(gap - BEST_GAP) + 0.1 * turned


def mouth_tensors(pictures: Sequence[tuple[np.ndarray, np.ndarray]], config: RefinerConfig) -> dict[str, np.ndarray]:
    """Of pictures uint8 [H, W, 3] with landmarks [478, 3] the open mouth that shows most teeth, the first of equals, as
    tensors of an avatar; {} without."""
    mouths = [open_mouth(rgb, points, config) for rgb, points in pictures if shows_inside(points)]
    return to_tensors(max(mouths, key=lambda mouth: round(teeth_share(mouth), 1)), MOUTH_PREFIX) if mouths else {}


def teeth_share(mouth: OpenMouth) -> float:
    """How much of what a mouth shows is teeth; a tongue between them is not."""
    opacity = sum(float(half[..., 3].sum()) for half in (mouth.upper, mouth.lower))
    return 255 * (teeth_area(mouth, mouth.upper) + teeth_area(mouth, mouth.lower)) / max(opacity, 1.0)


def teeth_area(mouth: OpenMouth, half: np.ndarray) -> float:
    """Pixels of one half of a mouth that show teeth: bright, and less red than the skin."""
    colours = half[..., :3] * mouth.balance
    skin = colours.reshape(-1, 3).mean(0)
    luma, tint = colours.mean(-1) / max(float(skin.mean()), 1.0), colours[..., 0] / np.maximum(colours.sum(-1), 1.0)
    teeth = (luma > TOOTH_LUMA) & (tint < skin[0] / max(float(skin.sum()), 1.0) - TOOTH_TINT)
    return float((teeth * half[..., 3]).sum()) / 255


def _darkest(*halves: np.ndarray) -> np.ndarray:
    seen = np.concatenate([half[half[..., 3] > 127, :3] for half in halves]).astype(np.float64)
    if not len(seen):
        return np.full(3, 255.0)
    brightness = seen.mean(1)
    return seen[brightness <= np.quantile(brightness, 0.2)].mean(0)


def stored_mouth(tensors: Mapping[str, np.ndarray], prefix: str = MOUTH_PREFIX) -> OpenMouth | None:
    """The open mouth that an avatar's tensors hold, if they do."""
    if f"{prefix}upper" not in tensors:
        return None
    upper, lower = (np.asarray(tensors[f"{prefix}{name}"]).astype(np.uint8) for name in ("upper", "lower"))
    points, balance = (np.asarray(tensors[f"{prefix}{name}"], np.float32) for name in ("points", "balance"))
    return OpenMouth(upper=upper, lower=lower, points=points, balance=balance)


def to_tensors(mouth: OpenMouth, prefix: str) -> dict[str, np.ndarray]:
    """What `stored_mouth` reads."""
    return {f"{prefix}{field.name}": getattr(mouth, field.name) for field in dataclasses.fields(mouth) if field.init}


def dark_mouth(config: RefinerConfig) -> OpenMouth:
    """A mean mouth without anything in it."""
    points = load_mesh478().mean.astype(np.float64)
    points *= config.patch_px[0] / config.mouth_px[0] * config.crop_px / window_side(1000 * points) * 1000
    points += (*np.array(config.patch_px) / 2 - points[_LIPS, :2].mean(0), 0)
    nothing = np.zeros((*config.patch_px[::-1], 4), np.uint8)
    return OpenMouth(upper=nothing, lower=nothing, points=points.astype(np.float32), balance=np.ones(3, np.float32))


def own_share(source: np.ndarray, target: np.ndarray) -> float:
    """How much of a picture's own inside stays in the mouth, from 0 to 1: all while it opens as in the picture, where
    landmarks go from `source` to `target` [478, 3]."""
    before, after = float(inner_lip_gap(source)), float(inner_lip_gap(target))
    alike = 1 - abs(after - before) / (ALIKE * max(before, 1e-6))
    return min(max((before - LEAST_GAP / 2) / (LEAST_GAP / 2), 0.0), 1.0) * min(max(2 * alike, 0.0), 1.0)


def shows_inside(points: np.ndarray) -> np.ndarray:
    """Whether mouths of landmarks [..., 478, 3] are open enough to carry over."""
    return inner_lip_gap(points) >= LEAST_GAP


def carry(mouth: OpenMouth, target: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of `mouth`, moved with skull and jaw of landmarks `target` [478, 3] in patch pixels: uint8 [h, w, 4]
    each."""
    rigid = rigid_between(mouth.points, target)
    turned = rigid.scale * rigid.rotation
    place = turned[:2, 2] * float(mouth.points[_LIPS, 2].mean()) + rigid.translation[:2]
    jaw = (target[_CHIN] - rigid(mouth.points[_CHIN])).mean(0)[:2]
    return _moved(mouth.upper, turned[:2, :2], place, size), _moved(mouth.lower, turned[:2, :2], place + jaw, size)


def inside(upper: np.ndarray, lower: np.ndarray, gains: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Colours float32 [h, w, 3] of the halves of `carry` times `gains` [3], the upper one in front, over `dark` [3]."""
    colours = np.empty((*upper.shape[:2], 3), np.float32)
    _inside(upper, lower, gains.astype(np.float32), dark.astype(np.float32), colours)
    return colours


_HALF = types.Array(types.uint8, 3, "C", readonly=True)


@kernel(types.void(_HALF, _HALF, types.float32[::1], types.float32[::1], types.float32[:, :, ::1]))
def _inside(upper, lower, gains, dark, out):
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            front, behind = np.float32(upper[y, x, 3]) / np.float32(255), np.float32(lower[y, x, 3]) / np.float32(255)
            for c in range(3):
                value = dark[c] + behind * (np.float32(lower[y, x, c]) * gains[c] - dark[c])
                out[y, x, c] = value + front * (np.float32(upper[y, x, c]) * gains[c] - value)
