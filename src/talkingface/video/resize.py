"""Pictures at other sizes."""

from __future__ import annotations

import cv2
import numpy as np

from talkingface.video.resize_area import shrink_area


def shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize to (width, height): averaged when smaller, bilinear when larger."""
    if picture.shape[1] == size[0] and picture.shape[0] == size[1]:
        return picture
    smaller = picture.shape[1] > size[0]
    if smaller and picture.shape[0] > size[1] and picture.dtype == np.uint8 and picture.shape[2:] == (3,):
        return shrink_area(picture, size)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def with_longest(picture: np.ndarray, longest_px: int) -> np.ndarray:
    """The picture with its longer side of so many pixels."""
    scale = longest_px / max(picture.shape[:2])
    return shrink(picture, (max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale))))
