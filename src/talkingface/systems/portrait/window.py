"""The square that the painter works on: it follows the face in whole pixels and is seen at a fixed scale."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.topology import (
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LIPS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
)

FACE_IN_CROP = 1.4
"""The painter's square is this many times the face's bounding square."""
_SHIFT = 4  # fixed-point bits of polygon corners
_MOUTH = [list(INNER_LIP_UPPER) + list(INNER_LIP_LOWER[-2:0:-1])]
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
    return Window(x=int(round(centre[0] - side / 2)), y=int(round(centre[1] - side / 2)), side=side, crop=crop)


def window_side(points: np.ndarray) -> int:
    """Side of the photo's window, in whole photo pixels."""
    return max(16, round(FACE_IN_CROP * face_square(points)[1]))


def cut(picture: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of `picture` [H, W, ...] in `box`, edge pixels repeated outside."""
    x0, y0, x1, y1 = box
    h, w = picture.shape[:2]
    inner = picture[max(0, min(y0, h - 1)) : max(1, min(y1, h)), max(0, min(x0, w - 1)) : max(1, min(x1, w))]
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = x1 - x0 - left - inner.shape[1], y1 - y0 - top - inner.shape[0]
    if left or top or right > 0 or bottom > 0:
        inner = cv2.copyMakeBorder(inner, top, max(0, bottom), left, max(0, right), cv2.BORDER_REPLICATE)
    return inner[: y1 - y0, : x1 - x0]


def shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize to (width, height): averaged when smaller, bilinear when larger."""
    if picture.shape[1] == size[0] and picture.shape[0] == size[1]:
        return picture
    smaller = picture.shape[1] > size[0]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def openings(points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where mouth and eyes are open: two uint8 masks [H, W] for landmarks [478, 2] in the masks' pixels."""
    fixed = np.round((points[:, :2] - 0.5) * (1 << _SHIFT)).astype(np.int32)
    masks = []
    for parts in (_MOUTH, _EYES):
        mask = np.zeros((size[1], size[0]), np.uint8)
        for part in parts:
            cv2.fillPoly(mask, [fixed[part]], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
        masks.append(mask)
    return masks[0], masks[1]


def mouth_corner(points: np.ndarray, crop: int, size: tuple[int, int]) -> tuple[int, int]:
    """Top-left corner (x, y), in whole crop pixels, of the mouth patch of `size` around the lips of `points` [478, 2]."""
    lips = points[list(LIPS)]
    centre = (lips.min(0) + lips.max(0)) / 2
    x = int(np.clip(round(float(centre[0]) - size[0] / 2), 0, crop - size[0]))
    y = int(np.clip(round(float(centre[1]) - size[1] / 2), 0, crop - size[1]))
    return x, y
