"""RGB to the planes that encoders take: BT.709, limited range, several times faster than swscale."""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane

_KR, _KB = 0.2126, 0.0722  # ITU-R BT.709
_LUMA = np.array([_KR, 1 - _KR - _KB, _KB])
_RGB_TO_YUV = np.empty((3, 4), dtype=np.float32)
_RGB_TO_YUV[0, :3] = 219 / 255 * _LUMA
_RGB_TO_YUV[1, :3] = 224 / 255 * (np.array([0, 0, 1]) - _LUMA) / (2 * (1 - _KB))
_RGB_TO_YUV[2, :3] = 224 / 255 * (np.array([1, 0, 0]) - _LUMA) / (2 * (1 - _KR))
_RGB_TO_YUV[:, 3] = 16, 128, 128


def to_frame(rgb: np.ndarray, alpha: np.ndarray | None, pixels: str) -> av.VideoFrame:
    """A frame of pixel format `pixels` from uint8 [H, W, 3] and alpha uint8 [H, W] (None: opaque).

    Takes yuv420p and yuva420p, for which H and W must be even, and anything that swscale makes from RGBA.
    """
    height, width = rgb.shape[:2]
    if pixels not in ("yuv420p", "yuva420p"):
        if alpha is None:
            alpha = np.full((height, width), 255, np.uint8)
        frame = av.VideoFrame.from_ndarray(np.dstack([rgb, alpha]), format="rgba")
        return frame.reformat(format=pixels, dst_colorspace="ITU709")
    luma, *chroma = cv2.split(cv2.transform(rgb, _RGB_TO_YUV))  # plane by plane the rest is four times faster
    frame = av.VideoFrame(width, height, pixels)
    _fill(frame.planes[0], luma)
    for plane, values in zip(frame.planes[1:3], chroma, strict=True):
        _fill(plane, cv2.resize(values, (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    if pixels == "yuva420p":
        _fill(frame.planes[3], 255 if alpha is None else alpha)
    return frame


def to_even(image: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd."""
    bottom, right = image.shape[0] % 2, image.shape[1] % 2
    return cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE) if bottom or right else image


def _fill(plane: VideoPlane, values: np.ndarray | int) -> None:
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(plane.height, plane.line_size)
    rows[:, : plane.width] = values
