"""Decoded frames of one track become upright sRGB with square pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream

from talkingface.video import hdr

_BT709, _BT601, _BT2020 = 1, 5, 9  # matrices as swscale numbers them
_MATRIX_OF_TAG = {1: _BT709, 5: _BT601, 6: _BT601, 9: _BT2020, 10: _BT2020}  # tags as in ITU-T H.273
# from version 17 on PyAV converts in several threads; handing out one frame's rows takes longer than converting them
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}


class Upright:
    """How the frames of a track are shown, from the first one and the track's header."""

    def __init__(self, first: av.VideoFrame, stream: VideoStream, longest_px: int | None = None) -> None:
        width, height = first.width, first.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if aspect > 1:
            width = round(width * aspect)
        else:
            height = round(height / aspect)
        self._matrix = _display_matrix(first)
        turned = abs(self._matrix[0]) < abs(self._matrix[1])
        self.shown_size = (height, width) if turned else (width, height)
        if longest_px and max(width, height) > longest_px:
            scale = longest_px / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        self._stored_size = (width, height)
        self._transfer = int(stream.codec_context.color_trc or 0)

    @property
    def is_hdr(self) -> bool:
        """Whether its light is coded by PQ or HLG."""
        return self._transfer in (hdr.PQ, hdr.HLG)

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn that brings the stored picture upright."""
        a, b, _, _ = self._matrix
        return round(float(np.degrees(np.arctan2(b, a)))) % 360

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 [H, W, 3], C-contiguous."""
        width, height = self._stored_size
        matrix = _MATRIX_OF_TAG.get(int(frame.colorspace), _BT709 if frame.height >= 720 else _BT601)
        is_rgb = frame.format.is_rgb
        shrinks = width < frame.width or height < frame.height
        stored = frame.reformat(
            width,
            height,
            "rgb48le" if self.is_hdr else "rgb24",
            src_colorspace=None if is_rgb else matrix,
            dst_colorspace=None if is_rgb else _BT601,  # means nothing for RGB, but PyAV 16 skips equal ones
            interpolation="AREA" if shrinks else "BILINEAR",
            **_ONE_THREAD,
        ).to_ndarray()
        rgb = hdr.to_sdr(stored, self._transfer) if self.is_hdr else stored
        a, b, c, d = self._matrix
        if abs(a) < abs(b):
            rgb, a, d = rgb.transpose(1, 0, 2), c, b
        return np.ascontiguousarray(rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """a, b, c, d of the track's matrix: shown x = a x + c y, shown y = b x + d y. Quarter turns and mirrors."""
    if "DISPLAYMATRIX" not in frame.side_data:
        return 1.0, 0.0, 0.0, 1.0
    values = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), dtype=np.int32) / 65536.0
    return float(values[0]), float(values[1]), float(values[3]), float(values[4])
