"""The picture behind the person when the photo's own background is replaced."""

from __future__ import annotations

import os

import numpy as np

from talkingface.core.cache import user_path
from talkingface.core.errors import UsageError
from talkingface.video.resize import shrink


def make_background(name: str, size: tuple[int, int]) -> np.ndarray:
    """A picture uint8 [H, W, 3] of `size` (width, height) from a colour or the path of a picture, cropped to fill.

    Transparent parts of a picture are white. Raises UsageError for a name that is neither.
    """
    from PIL import ImageColor

    if os.path.isfile(user_path(name)):
        from talkingface.video.image import read_image

        return _fill(read_image(user_path(name)).opaque(), size)
    try:
        colour = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise UsageError(
            f"--background {name} is neither keep, transparent, a colour like white or #20a040, nor a picture file"
        ) from error
    return np.full((size[1], size[0], 3), colour, np.uint8)


def _fill(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    h, w = rgb.shape[:2]
    scale = max(size[0] / w, size[1] / h)
    larger = shrink(rgb, (max(size[0], round(w * scale)), max(size[1], round(h * scale))))
    x, y = (larger.shape[1] - size[0]) // 2, (larger.shape[0] - size[1]) // 2
    return np.ascontiguousarray(larger[y : y + size[1], x : x + size[0]])
