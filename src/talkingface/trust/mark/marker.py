"""Laying the mark on finished frames."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.trust.mark.code import encode
from talkingface.trust.mark.pattern import PUBLIC_KEY, cell_px, layout, tile_picture

BLOCK_PX = 8
_FLAT, _MOST = 1.4, 2.6
"""Height of the pattern in levels where the picture is flat, and at most."""
_LARGEST_RMS = 1.6
_AROUND_BLOCKS = 7
"""Of the heights in so many blocks: the PSNR of the picture, and of a part like the mouth, is at least 45 dB."""
_BUSY = 4.0
"""Mean step between pixels, in levels, at which the height is in the middle between both."""
_ROWS = 4
"""Rows that share their heights."""
_u8rows, _f32rows = types.uint8[:, ::1], types.float32[:, ::1]


class Marker:
    """Marks the frames of one job, in their order.

    What a frame becomes depends on nothing but itself, so a job that goes on in the middle gives the frames that it
    would have given. `fps` and `start_frame` are for patterns that change with time; this version's does not.

    Args:
        size: (width, height) of the frames in pixels.
        fps: frames per second.
        payload: 48 bits (see `mark_payload`).
        key: decides the pattern; who has it can find, forge and remove the mark.
        start_frame: number of the first frame that comes.

    Example: `marked = Marker((512, 512), 25, mark_payload("job 1")).apply(rgb)`
    """

    def __init__(
        self,
        size: tuple[int, int],
        fps: float | Fraction,
        payload: int,
        key: bytes = PUBLIC_KEY,
        start_frame: int = 0,
    ) -> None:
        self._size = size
        cell = cell_px(size)
        self._pattern = _over_width(tile_picture(layout(key).tile(encode(payload)), cell), size[0])

    def apply(self, rgb: np.ndarray, alpha: np.ndarray | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """The next frame uint8 [H, W, 3] with the mark, as a new array or in `out`; only where `alpha` uint8 [H, W] is
        opaque (255).

        Raises ValueError for a frame of another size.
        """
        width, height = self._size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a frame must be uint8 [{height}, {width}, 3], not {rgb.dtype} {list(rgb.shape)}")
        rgb = np.ascontiguousarray(rgb)
        marked = np.empty_like(rgb) if out is None else out
        _lay_on(rgb.reshape(height, -1), _heights(rgb), self._pattern, marked.reshape(height, -1))
        if alpha is not None:
            np.copyto(marked, rgb, where=(alpha != 255)[..., None])
        return marked


def _over_width(tile: np.ndarray, width: int) -> np.ndarray:
    """A tile repeated over the width, once for each colour: float32 [P, 3 * width]."""
    return np.repeat(tile[:, np.arange(width) % tile.shape[1]], 3, axis=1).astype(np.float32)


def _heights(rgb: np.ndarray) -> np.ndarray:
    """How high the pattern is in levels, at each block of a frame uint8 [H, W, 3]: float32 [ceil(H/8), ceil(W/8)]."""
    shape = (-(-rgb.shape[0] // BLOCK_PX), -(-rgb.shape[1] // BLOCK_PX))
    heights = np.empty(shape, np.float32)
    _measure(cv2.extractChannel(rgb, 1), np.empty(shape, np.float32), heights)
    around = cv2.blur(heights * heights, (_AROUND_BLOCKS, _AROUND_BLOCKS), borderType=cv2.BORDER_REPLICATE)
    return heights * np.minimum(_LARGEST_RMS / np.sqrt(around), 1)


@kernel(types.void(_u8rows, _f32rows, _f32rows), fastmath=True)
def _measure(green, busy, heights):
    """From the mean step between pixels, in every other row, and the lightness of blocks."""
    bottom, right = green.shape
    steps, total = np.empty(right, np.int32), np.empty(right, np.int32)
    for i in range(busy.shape[0]):
        steps[:] = 0
        total[:] = 0
        count = 0
        for y in range(i * BLOCK_PX, min(i * BLOCK_PX + BLOCK_PX, bottom - 1), 2):
            count += 1
            for x in range(right - 1):
                value = np.int32(green[y, x])
                steps[x] += abs(np.int32(green[y, x + 1]) - value) + abs(np.int32(green[y + 1, x]) - value)
                total[x] += value
        for j in range(busy.shape[1]):
            begin, end = j * BLOCK_PX, min(j * BLOCK_PX + BLOCK_PX, right - 1)
            share = np.float32(1) / np.float32(max(count * (end - begin), 1))
            mean = np.float32(0.5) * np.float32(steps[begin:end].sum()) * share
            # blocks beside an edge are flat themselves: what is averaged below must not be led by few high values
            busy[i, j] = mean / (mean + np.float32(_BUSY))
            light = np.float32(total[begin:end].sum()) * share
            heights[i, j] = min(max(light / np.float32(48), np.float32(0.7)), np.float32(1))
    for i in range(busy.shape[0]):
        for j in range(busy.shape[1]):
            around = np.float32(0)
            count = 0
            for y in range(max(i - 1, 0), min(i + 2, busy.shape[0])):
                for x in range(max(j - 1, 0), min(j + 2, busy.shape[1])):
                    around += busy[y, x]
                    count += 1
            share = min(around / np.float32(count), busy[i, j] * np.float32(1.5))
            heights[i, j] *= np.float32(_FLAT) + np.float32(_MOST - _FLAT) * share


@kernel(types.void(_u8rows, _f32rows, _f32rows, _u8rows), fastmath=True)
def _lay_on(rows, heights, pattern, out):
    """`out` = `rows` + pattern times height, rounded; heights are interpolated between block centres.

    Dithered rounding would cost half as many bytes again where the picture is flat, and weaken the mark.
    """
    bottom, wide = rows.shape
    last_i, last_j = heights.shape[0] - 1, heights.shape[1] - 1
    left, right = np.empty(wide // 3, np.int32), np.empty(wide // 3, np.int32)
    part = np.empty(wide // 3, np.float32)
    for x in range(wide // 3):
        place = min(max((x + 0.5) / BLOCK_PX - 0.5, 0.0), float(last_j))
        left[x] = int(place)
        right[x] = min(left[x] + 1, last_j)
        part[x] = place - left[x]
    across = np.empty(heights.shape[1], np.float32)
    height = np.empty(wide, np.float32)
    for y in range(bottom):
        if y % _ROWS == 0:
            place = min(max((y + _ROWS / 2) / BLOCK_PX - 0.5, 0.0), float(last_i))
            i = int(place)
            below, low = min(i + 1, last_i), np.float32(place - i)
            for j in range(last_j + 1):
                across[j] = heights[i, j] + low * (heights[below, j] - heights[i, j])
            for x in range(wide // 3):
                value = across[left[x]] + part[x] * (across[right[x]] - across[left[x]])
                height[3 * x] = value
                height[3 * x + 1] = value
                height[3 * x + 2] = value
        tile_row = y % pattern.shape[0]
        for x in range(wide):
            value = np.float32(rows[y, x]) + pattern[tile_row, x] * height[x] + np.float32(0.5)
            out[y, x] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
