"""A drawn face back in the picture that it was cut from: turned back, feathered, and of one colour at the seam."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from talkingface.systems.pcavs.alignment.crop import network_matrix
from talkingface.systems.pcavs.codes import Square

FEATHER = 24 / 224
"""How wide the drawn square's edge fades into the source, in sides."""
MATCHED = 72 / 224
"""How far from the edge colours are still bent towards the source, in sides."""
MOST_BENT = 48.0
"""Grey levels that a colour may be bent by: more is another object, not another light."""
_COARSE_PX = 56
_COARSE_SIGMA = 5.0


class Place:
    """Where drawn squares go in a picture uint8 [H, W, 3]."""

    def __init__(self, picture: np.ndarray, square: Square) -> None:
        self._picture, self._side, self._own_colours = picture, square.side, square.own_colours
        height, width = picture.shape[:2]
        side, seen = square.side, square.matrix
        back = cv2.invertAffineTransform(seen)
        corners = np.array([[-0.5, -0.5], [side - 0.5, -0.5], [-0.5, side - 0.5], [side - 0.5] * 2])
        placed = corners @ back[:, :2].T + back[:, 2]
        (x0, y0), (x1, y1) = np.floor(placed.min(axis=0)).astype(int), np.ceil(placed.max(axis=0)).astype(int) + 1
        x0, x1 = np.clip((x0, x1), 0, width)
        y0, y1 = np.clip((y0, y1), 0, height)
        self._region = slice(y0, y1), slice(x0, x1)
        self._size = int(x1 - x0), int(y1 - y0)
        self._back = back
        self._back[:, 2] -= x0, y0
        if not self._is_seen:
            return
        self._alpha = cv2.warpAffine(feather(side), self._back, self._size, flags=cv2.INTER_LINEAR)
        source = cv2.warpAffine(picture, seen, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._source = _coarse(source)
        inside = cv2.warpAffine(np.ones((height, width), np.uint8), seen, (side, side), flags=cv2.INTER_NEAREST)
        self._seam = _coarse((1 - feather(side)) * inside)
        self._seam_amount = cv2.GaussianBlur(self._seam, (0, 0), _COARSE_SIGMA)
        self._doubles = float(np.hypot(*seen[:, 0])) < 0.9
        self._flat_back = self._back
        if self._doubles:
            shift = self._back[:, 2] - self._back[:, :2] @ (0.25, 0.25)
            self._back = np.column_stack([self._back[:, :2] / 2, shift])

    @property
    def _is_seen(self) -> bool:
        return min(self._size) > 0

    def paste(self, drawn: np.ndarray) -> np.ndarray:
        """The picture with what was drawn, uint8 [S, S, 3], in its place; a new uint8 [H, W, 3].

        Outside of the drawn square nothing changes.
        """
        result = self._picture.copy()
        if not self._is_seen:
            return result
        # where a head moves, its colours differ from those that were there: matching them would leave stains
        face = drawn if self._own_colours else self._matched(drawn)
        if self._doubles:  # sharper than a bilinear warp, and much faster than a bicubic one
            face = cv2.resize(face, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        face = cv2.warpAffine(face, self._back, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        result[self._region] = cv2.blendLinear(face, result[self._region], self._alpha, 1 - self._alpha)
        return result

    def paste_mask(self, mask: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """The picture's mask uint8 [H, W] with the drawn square's, uint8 [S, S], in its place; a new one."""
        result = mask.copy()
        if self._is_seen:
            face = cv2.warpAffine(drawn, self._flat_back, self._size, flags=cv2.INTER_LINEAR)
            result[self._region] = cv2.blendLinear(face, result[self._region], self._alpha, 1 - self._alpha)
        return result

    def _matched(self, drawn: np.ndarray) -> np.ndarray:
        """The drawn square with colours that meet the source's at the edge."""
        bent = cv2.GaussianBlur((self._source - _coarse(drawn)) * self._seam[..., None], (0, 0), _COARSE_SIGMA)
        bent = np.clip(bent / np.maximum(self._seam_amount, 1e-3)[..., None], -MOST_BENT, MOST_BENT)
        bent *= _coarse(near_edge(self._side, MATCHED))[..., None]
        smooth = cv2.resize(bent, (self._side, self._side), interpolation=cv2.INTER_LINEAR)
        return cv2.add(drawn, smooth, dtype=cv2.CV_8U)


def paste(picture: np.ndarray, drawn: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """One drawn square uint8 [224, 224, 3] put back into the uint8 [H, W, 3] whose alignment is `matrix` [2, 3]."""
    return Place(picture, Square(network_matrix(matrix), len(drawn))).paste(drawn)


@lru_cache(maxsize=2)
def feather(side: int) -> np.ndarray:
    """How much of a drawn square is seen, float32 [S, S]: 0 at its edge, 1 further inside than `FEATHER`."""
    return 1 - near_edge(side, FEATHER)


@lru_cache(maxsize=4)
def near_edge(side: int, width: float) -> np.ndarray:
    """1 at the edge, 0 at `width` sides from it, smooth in between and around the corners: float32 [S, S]."""
    place = np.arange(side)
    far = np.clip(np.minimum(place, side - 1 - place) / (width * side), 0, 1)
    near = np.minimum(np.hypot(1 - far[:, None], 1 - far[None]), 1)
    return (near * near * (3 - 2 * near)).astype(np.float32)


def _coarse(values: np.ndarray) -> np.ndarray:
    return cv2.resize(values.astype(np.float32), (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
