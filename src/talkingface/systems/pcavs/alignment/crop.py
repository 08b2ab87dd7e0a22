"""From the stored 224 x 224 crop to what networks are given, and back.

Both variants cut the same 192 x 192 pixels out of the crop. The official networks get them enlarged to 224 again, as
published (`loader_crop`); the compact ones get a square of any size (`square_matrix`, `view`), whose points are counted
in [-1, 1] over the square, where eyes are `EYES` apart.
"""

from __future__ import annotations

import cv2
import numpy as np

from talkingface.systems.pcavs.alignment.align import SIZE_PX, TEMPLATE

ROWS = slice(0, 192)
COLUMNS = slice(16, 208)
"""The part of a crop that is kept: nothing is cut from the top."""
SIDE_PX = COLUMNS.stop - COLUMNS.start
EYES = 2 * float(TEMPLATE[1, 0] - TEMPLATE[0, 0]) / SIDE_PX
"""Distance of the eyes' centres in halves of the square's side."""


def loader_crop(frames: np.ndarray, trim_px: int = 0) -> np.ndarray:
    """What the official networks are given of crops: uint8 [..., 224, 224, 3] -> the same shape.

    `trim_px` is cut from all sides besides. Raises ValueError for another size.
    """
    if frames.shape[-3:] != (SIZE_PX, SIZE_PX, 3) or frames.dtype != np.uint8:
        raise ValueError(f"crops are uint8 [..., {SIZE_PX}, {SIZE_PX}, 3], not {frames.dtype} {list(frames.shape)}")
    # absolute pixels, as published: from a picture of another size they would cut its upper left part
    trim = slice(trim_px, SIZE_PX - trim_px)
    kept = frames[..., ROWS, COLUMNS, :][..., trim, trim, :]
    flat = kept.reshape(-1, *kept.shape[-3:])
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


def network_matrix(matrix: np.ndarray, side_px: int = SIZE_PX) -> np.ndarray:
    """`align`'s matrix [2, 3] of a picture, continued to `loader_crop` at `side_px` pixels: float64 [2, 3].

    OpenCV's pixel numbers: an enlargement keeps corners, not pixel centres, in place.
    """
    scale = np.array([SIZE_PX / (COLUMNS.stop - COLUMNS.start), SIZE_PX / (ROWS.stop - ROWS.start)])
    start = np.array([COLUMNS.start, ROWS.start])
    shift = (matrix[:, 2] - start + 0.5) * scale - 0.5
    other = side_px / SIZE_PX
    return np.column_stack([matrix[:, :2] * scale[:, None] * other, (shift + 0.5) * other - 0.5])


def square_matrix(size_px: int) -> np.ndarray:
    """Crop -> the compact networks' square of `size_px`: float64 [2, 3] for OpenCV's pixel numbers."""
    scale = size_px / SIDE_PX
    start = np.array([COLUMNS.start, ROWS.start])
    return np.column_stack([np.eye(2) * scale, (0.5 - start) * scale - 0.5])


def view(rgb: np.ndarray, matrix: np.ndarray, size_px: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """A picture uint8 [H, W, 3] through `matrix` [2, 3] (pixel numbers): uint8 [size_px, size_px, 3].

    `border` is OpenCV's way beyond the picture's edges.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    # below, bilinear sampling alone would skip pixels
    if scale < 0.7:
        rgb = cv2.GaussianBlur(rgb, (0, 0), 0.35 / scale)
    return cv2.warpAffine(rgb, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=border)


def on_square(points: np.ndarray, matrix: np.ndarray, size_px: int) -> np.ndarray:
    """Points [..., 2] of a picture (pixel centres at one half) through `matrix`, in [-1, 1]: float32 [..., 2]."""
    pixels = (points - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    return (pixels * (2 / size_px) - 1).astype(np.float32)
