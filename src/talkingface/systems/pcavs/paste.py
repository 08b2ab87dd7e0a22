"""A drawn face back in the picture that it was cut from: turned back, feathered, and of one colour at the seam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import cv2
import numpy as np

from talkingface.systems.pcavs.align import SIZE_PX, warp
from talkingface.systems.pcavs.crop import network_matrix

FEATHER_PX = 24
"""How wide the drawn picture's edge fades into the source."""
MATCHED_PX = 72
"""How far from the edge colours are still bent towards the source."""
MOST_BENT = 48.0
"""Grey levels that a colour may be bent by: more is another object, not another light."""
_COARSE_PX = 56
_COARSE_SIGMA = 5.0


class Place:
    """Where drawn pictures go in one picture: made once for a photo, once a frame for a clip.

    `picture` uint8 [H, W, 3]; `matrix` float64 [2, 3] is its alignment (`align.alignment`).
    """

    def __init__(self, picture: np.ndarray, matrix: np.ndarray) -> None:
        self._picture = picture
        height, width = picture.shape[:2]
        seen = network_matrix(matrix)
        back = cv2.invertAffineTransform(seen)
        corners = np.array([[-0.5, -0.5], [SIZE_PX - 0.5, -0.5], [-0.5, SIZE_PX - 0.5], [SIZE_PX - 0.5] * 2])
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
        self._alpha = cv2.warpAffine(feather(), self._back, self._size, flags=cv2.INTER_LINEAR)
        self._source = warp(picture, seen, "replicate").astype(np.float32)
        inside = cv2.warpAffine(np.ones((height, width), np.uint8), seen, (SIZE_PX, SIZE_PX), flags=cv2.INTER_NEAREST)
        self._seam = _coarse((1 - feather()) * inside)
        self._seam_amount = cv2.GaussianBlur(self._seam, (0, 0), _COARSE_SIGMA)
        self._doubles = float(np.hypot(*seen[:, 0])) < 1
        if self._doubles:
            shift = self._back[:, 2] - self._back[:, :2] @ (0.25, 0.25)
            self._back = np.column_stack([self._back[:, :2] / 2, shift])

    @property
    def _is_seen(self) -> bool:
        return min(self._size) > 0

    def paste(self, drawn: np.ndarray) -> np.ndarray:
        """The picture with what the network drew, uint8 [224, 224, 3], in its place; a new uint8 [H, W, 3].

        Outside of the drawn square nothing changes.
        """
        result = self._picture.copy()
        if not self._is_seen:
            return result
        face = self._matched(drawn)
        if self._doubles:  # sharper than a bilinear warp, and much faster than a bicubic one
            face = cv2.resize(face, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        face = cv2.warpAffine(face, self._back, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        result[self._region] = cv2.blendLinear(face, result[self._region], self._alpha, 1 - self._alpha)
        return result

    def _matched(self, drawn: np.ndarray) -> np.ndarray:
        """The drawn picture with colours that meet the source's at the edge."""
        face = drawn.astype(np.float32)
        bent = cv2.GaussianBlur(_coarse(self._source - face) * self._seam[..., None], (0, 0), _COARSE_SIGMA)
        bent = np.clip(bent / np.maximum(self._seam_amount, 1e-3)[..., None], -MOST_BENT, MOST_BENT)
        smooth = cv2.resize(bent, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
        return np.clip(face + smooth * _near_edge(MATCHED_PX)[..., None] + 0.5, 0, 255).astype(np.uint8)


def paste(picture: np.ndarray, drawn: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """One drawn picture uint8 [224, 224, 3] put back into the uint8 [H, W, 3] whose alignment is `matrix` [2, 3]."""
    return Place(picture, matrix).paste(drawn)


def paste_frames(
    pictures: Iterable[np.ndarray], drawn: Iterable[np.ndarray], matrices: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """A clip's frames with what was drawn for each, as they come; ends with the shortest."""
    for picture, face, matrix in zip(pictures, drawn, matrices, strict=False):
        yield paste(picture, face, matrix)


@lru_cache(maxsize=1)
def feather() -> np.ndarray:
    """How much of the drawn picture is seen, float32 [224, 224]: 0 at its edge, 1 further inside than `FEATHER_PX`."""
    return 1 - _near_edge(FEATHER_PX)


@lru_cache(maxsize=2)
def _near_edge(width_px: int) -> np.ndarray:
    """1 at the edge, 0 at `width_px` from it, smooth in between and around the corners: float32 [224, 224]."""
    place = np.arange(SIZE_PX)
    far = np.clip(np.minimum(place, SIZE_PX - 1 - place) / width_px, 0, 1)
    near = np.minimum(np.hypot(1 - far[:, None], 1 - far[None]), 1)
    return (near * near * (3 - 2 * near)).astype(np.float32)


def _coarse(values: np.ndarray) -> np.ndarray:
    return cv2.resize(values.astype(np.float32), (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
