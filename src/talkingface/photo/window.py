"""The square that the refiner works on: it follows the face in whole pixels and is seen at a fixed scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.pose import STABLE_POINTS
from talkingface.face.topology import (
    FACE_OVAL,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LIPS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
)
from talkingface.photo.config import RefinerConfig
from talkingface.video.resize import shrink

FACE_IN_CROP = 1.4
"""The refiner's square is this many times the face's bounding square."""
EYE_REACH = 0.75
"""A disc of so many eye widths around an eye's middle holds its lids and their crease."""
_RAMP_PX = 6.0
_SKIN_TINT = np.array([1.32, 0.89, 0.79], np.float32)  # mean skin of the train clips over its brightness
_COLOURED = 0.03  # how much a face's pixels differ in tint, over their brightness; less is a picture without colours
_STILL_PX = 3.0  # root mean square movement, in crop pixels
_SHIFT = 4  # fixed-point bits of polygon corners
_MOUTH = [list(INNER_LIP_UPPER) + list(INNER_LIP_LOWER[-2:0:-1])]
_OVAL = list(FACE_OVAL)
_FACE_EDGE = (0.05, 0.11)  # of a window's side: how far within the outline `face_area` begins, and is whole
_EYE_CORNERS = np.array([(33, 133), (362, 263)])
_EYES = [
    list(RIGHT_EYE_UPPER) + list(RIGHT_EYE_LOWER[-2:0:-1]),
    list(LEFT_EYE_UPPER) + list(LEFT_EYE_LOWER[-2:0:-1]),
]


def face_square(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre [2] and side of the bounding square of landmarks [478, 3], in pixels."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return (low + high) / 2, float((high - low).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A square of `side` photo pixels with top-left corner (x, y), shown `crop` pixels wide to the networks."""

    x: int
    y: int
    side: int
    crop: int

    @property
    def scale(self) -> float:
        """Crop pixels per photo pixel."""
        return self.crop / self.side

    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in photo pixels; may reach outside the photo."""
        return self.x, self.y, self.x + self.side, self.y + self.side

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Photo pixels [..., 2 or 3] to crop pixels (x, y only)."""
        return (points[..., :2] - (self.x, self.y)) * self.scale


def window_at(points: np.ndarray, side: int, crop: int) -> Window:
    """The window of fixed `side` around the face with landmarks `points` [478, 3]."""
    centre, _ = face_square(points)
    return Window(x=round(centre[0] - side / 2), y=round(centre[1] - side / 2), side=side, crop=crop)


def window_side(points: np.ndarray) -> int:
    """Side of the photo's window, in whole photo pixels."""
    return max(16, round(FACE_IN_CROP * face_square(points)[1]))


def cut(picture: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of `picture` [H, W, ...] in `box`, edge pixels repeated outside."""
    h, w = picture.shape[:2]
    # beside the picture all boxes show the same edge: no border is made wider than the box
    side_x, side_y = box[2] - box[0], box[3] - box[1]
    x0, y0 = min(max(box[0], 1 - side_x), w - 1), min(max(box[1], 1 - side_y), h - 1)
    x1, y1 = x0 + side_x, y0 + side_y
    inner = picture[max(0, min(y0, h - 1)) : max(1, min(y1, h)), max(0, min(x0, w - 1)) : max(1, min(x1, w))]
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = x1 - x0 - left - inner.shape[1], y1 - y0 - top - inner.shape[0]
    if left or top or right > 0 or bottom > 0:
        inner = cv2.copyMakeBorder(inner, top, max(0, bottom), left, max(0, right), cv2.BORDER_REPLICATE)
    return inner[: y1 - y0, : x1 - x0]


def openings(points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where mouth and eyes are open: two uint8 masks [H, W] for landmarks [478, 2] in the masks' pixels."""
    fixed = np.round((points[:, :2] - 0.5) * (1 << _SHIFT)).astype(np.int32)
    masks = []
    for parts in (_MOUTH, _EYES):
        mask = np.zeros((size[1], size[0]), np.uint8)
        for part in parts:
            cv2.fillPoly(mask, [fixed[part]], (255,), lineType=cv2.LINE_AA, shift=_SHIFT)
        masks.append(mask)
    return masks[0], masks[1]


def face_area(points: np.ndarray, side: int) -> np.ndarray:
    """How far within the face pixels lie: float32 [S, S], 0 beyond the outline of landmarks [478, 2] and near it, 1
    well within."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round((points[_OVAL, :2] - 0.5) * (1 << _SHIFT)).astype(np.int32)], (1,), shift=_SHIFT)
    low, high = (share * side for share in _FACE_EDGE)
    return np.clip((cv2.distanceTransform(mask, cv2.DIST_L2, 3) - low) / (high - low), 0, 1)


def mouth_corner(points: np.ndarray, crop: int, size: tuple[int, int]) -> tuple[int, int]:
    """Top-left corner (x, y), in even crop pixels, of the mouth patch of `size` around the lips of `points`."""
    lips = points[list(LIPS)]
    centre = (lips.min(0) + lips.max(0)) / 2
    x = int(np.clip(2 * round((float(centre[0]) - size[0] / 2) / 2), 0, crop - size[0]))
    y = int(np.clip(2 * round((float(centre[1]) - size[1] / 2) / 2), 0, crop - size[1]))
    return x, y


def eye_discs(points: np.ndarray) -> np.ndarray:
    """Discs (x, y, radius) float32 [2, 3] around the eyes of landmarks [478, 2], in their pixels."""
    corners = points[_EYE_CORNERS]
    radius = EYE_REACH * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1)
    return np.column_stack([corners.mean(1), radius]).astype(np.float32)


def stillness(source: np.ndarray, target: np.ndarray, window: Window) -> float:
    """How much the head of landmarks `target` rests where it is in the photo (`source`): 1 at rest, 0 from afar.

    Where it rests, the photo's own pixels may take the place of warped ones; once it moves they would be a ghost.
    """
    moved = (target[STABLE_POINTS, :2] - source[STABLE_POINTS, :2]) * window.scale
    return float(np.exp(-np.mean(np.sum(moved**2, axis=-1)) / _STILL_PX**2))


def _skin(photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Some hundred pixels float32 [N, 3] of the face, in (0, 256]."""
    (x, y), side = face_square(points)
    box = (int(x - side / 2), int(y - side / 2), int(x + side / 2), int(y + side / 2))
    small = shrink(cut(photo, box), (48, 48)).astype(np.float32) + 1
    hull = np.zeros((48, 48), np.uint8)
    corners = (points[:, :2] - box[:2]) * (48 / max(side, 1))
    cv2.fillConvexPoly(hull, cv2.convexHull(corners.astype(np.int32)), (255,))
    return small[hull > 0]


def _has_colours(skin: np.ndarray) -> bool:
    own_colour = skin - skin.mean(-1, keepdims=True) * (skin.mean(0) / skin.mean())
    return float(own_colour.std() / skin.mean()) > _COLOURED


@dataclass(frozen=True, slots=True, kw_only=True)
class Skin:
    """The skin of a face: mean `colour` [3] in [0, 255]; whether it `is_coloured` (marble, black and white and sepia
    have one tint for everything); and the gains `balance` float32 [3] that give it the tint that the refiner knows.

    A picture without colours of its own is made grey by the gains. The refiner's colours are divided by them again, so
    teeth under yellow varnish are yellow. Brightness stays: dark skin does not darken teeth.
    """

    colour: np.ndarray
    is_coloured: bool
    balance: np.ndarray


def read_skin(photo: np.ndarray, points: np.ndarray) -> Skin:
    """The skin of the face of `photo` uint8 [H, W, 3] with landmarks `points` [478, 3]."""
    skin = _skin(photo, points)
    mean, is_coloured = skin.mean(0), _has_colours(skin)
    tint = _SKIN_TINT if is_coloured else 1.0
    balance = np.clip(tint * skin.mean() / mean, 0.5, 2.0).astype(np.float32)
    return Skin(colour=mean - 1, is_coloured=is_coloured, balance=balance)


def away_from_ghosts(corners: np.ndarray, eyes: np.ndarray, config: RefinerConfig) -> np.ndarray:
    """Float32 [B, S/2, S/2]: 0 in the mouth patches at `corners` [B, 2] and in the discs `eyes` [B, 2, 3] (`eye_discs`,
    crop pixels), rising to 1 at their edges and outside.

    The resting photo must not show through there: its own lips would stay as a ghost, its open eyes behind shut lids.
    """
    half = config.crop_px // 2
    width, height = config.mouth_px[0] // 2, config.mouth_px[1] // 2
    ramps = [np.minimum(1, np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / _RAMP_PX) for n in (height, width)]
    inside = np.minimum(ramps[0][:, None], ramps[1][None]).astype(np.float32)
    away = np.ones((len(corners), half, half), np.float32)
    for k, (x, y) in enumerate(corners // 2):
        away[k, y : y + height, x : x + width] -= inside
    place = np.arange(half, dtype=np.float32) + 0.5
    for mask, discs in zip(away, eyes / 2, strict=True):
        for x, y, radius in discs:
            apart = np.sqrt((place[:, None] - y) ** 2 + (place[None] - x) ** 2)
            np.minimum(mask, np.clip((apart - radius) / _RAMP_PX + 1, 0, 1), out=mask)
    return away
