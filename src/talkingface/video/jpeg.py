"""JPEG in memory, for pictures that wait or travel in large numbers."""

from __future__ import annotations

import cv2
import numpy as np


def to_jpeg(rgb: np.ndarray, quality: int) -> bytes:
    """A picture uint8 [H, W, 3] as a JPEG file of `quality` 1 to 100."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"no JPEG can be made of {rgb.dtype}{rgb.shape}")
    return data.tobytes()


def from_jpeg(data: bytes) -> np.ndarray:
    """The picture of a JPEG file, uint8 [H, W, 3]. Raises ValueError for anything else."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("this is not a JPEG file")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
