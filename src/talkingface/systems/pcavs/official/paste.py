"""A generated face back in the picture that it was cut from: feathered, and of one colour at the seam."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FEATHER = 24 / 224
"""How wide the square's edge fades into the source, in sides."""
MATCHED = 72 / 224
"""How far from the edge colours are still bent towards the source, in sides."""
MOST_BENT = 48.0
"""Grey levels that a colour may be bent by: more is another object, not another light."""
_COARSE_PX = 56
_COARSE_SIGMA = 5.0


@dataclass(frozen=True, slots=True)
class Square:
    """Where generated squares lie: `matrix` float64 [2, 3] from picture to square (pixel numbers), its `side` in px."""

    matrix: np.ndarray
    side: int


class Place:
    """Where squares go in a picture uint8 [H, W, 3]."""

    def __init__(self, picture: np.ndarray, square: Square) -> None:
        self._picture, self._side = picture, square.side
        height, width = picture.shape[:2]
        side, matrix = square.side, square.matrix
        back = cv2.invertAffineTransform(matrix)
        corners = np.array([[-0.5, -0.5], [side - 0.5, -0.5], [-0.5, side - 0.5], [side - 0.5] * 2])
        placed = corners @ back[:, :2].T + back[:, 2]
        (x0, y0), (x1, y1) = np.floor(placed.min(axis=0)).astype(int), np.ceil(placed.max(axis=0)).astype(int) + 1
        x0, x1 = np.clip((x0, x1), 0, width)
        y0, y1 = np.clip((y0, y1), 0, height)
        self._region = slice(y0, y1), slice(x0, x1)
        self._size = int(x1 - x0), int(y1 - y0)
        self._back = back
        self._back[:, 2] -= x0, y0
        if not self._is_inside:
            return
        feather = 1 - near_edge(side, FEATHER)
        self._alpha = cv2.warpAffine(feather, self._back, self._size, flags=cv2.INTER_LINEAR)
        source = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._source = _coarse(source)
        inside = cv2.warpAffine(np.ones((height, width), np.uint8), matrix, (side, side), flags=cv2.INTER_NEAREST)
        # colours are compared where the square fades and the picture has pixels of its own
        self._seam = _coarse((1 - feather) * inside)[..., None]
        self._seam_amount = np.maximum(cv2.GaussianBlur(self._seam, (0, 0), _COARSE_SIGMA), 1e-3)[..., None]
        self._reach = _coarse(near_edge(side, MATCHED))[..., None]
        # a square that is enlarged by less than 0.9 loses detail in a bilinear warp: it is doubled first
        self._doubles = float(np.hypot(*matrix[:, 0])) < 0.9
        if self._doubles:
            shift = self._back[:, 2] - self._back[:, :2] @ (0.25, 0.25)
            self._back = np.column_stack([self._back[:, :2] / 2, shift])

    @property
    def _is_inside(self) -> bool:
        return min(self._size) > 0

    def paste(self, square: np.ndarray) -> np.ndarray:
        """The picture with a square uint8 [S, S, 3] in its place; a new uint8 [H, W, 3].

        Outside of the square nothing changes.
        """
        result = self._picture.copy()
        if not self._is_inside:
            return result
        face = self._matched(square)
        if self._doubles:  # sharper than a bilinear warp, and much faster than a bicubic one
            face = cv2.resize(face, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        face = cv2.warpAffine(face, self._back, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        result[self._region] = cv2.blendLinear(face, result[self._region], self._alpha, 1 - self._alpha)
        return result

    def _matched(self, square: np.ndarray) -> np.ndarray:
        """The square with colours that meet the source's at the edge."""
        bent = cv2.GaussianBlur((self._source - _coarse(square)) * self._seam, (0, 0), _COARSE_SIGMA)
        bent = np.clip(bent / self._seam_amount, -MOST_BENT, MOST_BENT) * self._reach
        smooth = cv2.resize(bent, (self._side, self._side), interpolation=cv2.INTER_LINEAR)
        return cv2.add(square, smooth, dtype=cv2.CV_8U)


def near_edge(side: int, width: float) -> np.ndarray:
    """1 at the edge, 0 at `width` sides from it, smooth in between and around the corners: float32 [S, S]."""
    place = np.arange(side)
    far = np.clip(np.minimum(place, side - 1 - place) / (width * side), 0, 1)
    near = np.minimum(np.hypot(1 - far[:, None], 1 - far[None]), 1)
    return (near * near * (3 - 2 * near)).astype(np.float32)


def _coarse(values: np.ndarray) -> np.ndarray:
    # light changes slowly: a coarse picture holds it, and is blurred at a sixteenth of the cost
    return cv2.resize(values.astype(np.float32), (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
