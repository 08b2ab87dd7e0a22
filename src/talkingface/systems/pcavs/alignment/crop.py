"""From the stored 224 x 224 crop to what the networks see, and back."""

from __future__ import annotations

import cv2
import numpy as np

from talkingface.core.errors import InputError
from talkingface.systems.pcavs.alignment.align import SIZE_PX

ROWS = slice(0, 192)
COLUMNS = slice(16, 208)
"""The part of a crop that the networks see: nothing is cut from the top."""


def fitted_crop(rgb: np.ndarray) -> np.ndarray:
    """A square picture uint8 [S, S, 3] that is a crop already -> the crop [224, 224, 3].

    Raises InputError for any other shape: cutting by pixel numbers would show its upper left part.
    """
    height, width = rgb.shape[:2]
    if height != width:
        raise InputError(f"a picture of {width} x {height} is no face crop; give the whole picture to be cropped")
    if height == SIZE_PX:
        return rgb
    method = cv2.INTER_AREA if height > SIZE_PX else cv2.INTER_LINEAR
    return cv2.resize(rgb, (SIZE_PX, SIZE_PX), interpolation=method)


def loader_crop(frames: np.ndarray, trim_px: int = 0) -> np.ndarray:
    """What the networks see of crops, enlarged again: uint8 [..., 224, 224, 3] -> the same shape.

    `trim_px` is cut from all sides besides. Raises ValueError for another size.
    """
    if frames.shape[-3:] != (SIZE_PX, SIZE_PX, 3) or frames.dtype != np.uint8:
        raise ValueError(f"crops are uint8 [..., {SIZE_PX}, {SIZE_PX}, 3], not {frames.dtype} {list(frames.shape)}")
    trim = slice(trim_px, SIZE_PX - trim_px)
    seen = frames[..., ROWS, COLUMNS, :][..., trim, trim, :]
    flat = seen.reshape(-1, *seen.shape[-3:])
    large = np.empty((len(flat), SIZE_PX, SIZE_PX, 3), np.uint8)
    for source, target in zip(flat, large, strict=True):
        cv2.resize(np.ascontiguousarray(source), (SIZE_PX, SIZE_PX), dst=target, interpolation=cv2.INTER_LINEAR)
    return large.reshape(frames.shape)


def to_network(rgb: np.ndarray) -> np.ndarray:
    """Pictures uint8 [..., H, W, 3] -> float32 [..., 3, H, W] in [-1, 1]."""
    return np.ascontiguousarray(np.moveaxis(rgb, -1, -3), np.float32) / np.float32(127.5) - np.float32(1)


def from_network(values: np.ndarray) -> np.ndarray:
    """Pictures float [..., 3, H, W] in [-1, 1] -> uint8 [..., H, W, 3]; cut off, not rounded, as in the original."""
    scaled = np.clip((np.moveaxis(values, -3, -1) + 1) / 2 * 255, 0, 255)
    return np.ascontiguousarray(scaled.astype(np.uint8))


def network_matrix(matrix: np.ndarray) -> np.ndarray:
    """`align`'s matrix [2, 3] of a picture, continued to what the networks see and draw: float64 [2, 3].

    OpenCV's pixel numbers: the enlargement keeps corners, not pixel centres, in place.
    """
    scale = np.array([SIZE_PX / (COLUMNS.stop - COLUMNS.start), SIZE_PX / (ROWS.stop - ROWS.start)])
    start = np.array([COLUMNS.start, ROWS.start])
    shift = (matrix[:, 2] - start + 0.5) * scale - 0.5
    return np.column_stack([matrix[:, :2] * scale[:, None], shift])
