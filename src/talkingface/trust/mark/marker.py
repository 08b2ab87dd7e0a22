"""Laying the mark on finished frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.trust.mark.code import encode
from talkingface.trust.mark.pattern import PUBLIC_KEY, TILE_CELLS, cell_px, layout, tile_picture

BLOCK_PX = 8
_FLAT, _MOST = 1.0, 3.0
"""Height of the pattern in levels where the picture is flat, and at most."""
_LARGEST_RMS = 1.72
"""Of the heights of a frame: the PSNR is at least 45 dB, whatever it shows."""
_BUSY = 2.0
"""Mean step between pixels, in levels, at which the height is in the middle between both."""
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
        self._dither = _over_width(_dither(TILE_CELLS * cell), size[0])

    def apply(self, rgb: np.ndarray, alpha: np.ndarray | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """The next frame uint8 [H, W, 3] with the mark, as a new array or in `out`; only where `alpha` uint8 [H, W] is
        opaque (255).

        Raises ValueError for a frame of another size.
        """
        width, height = self._size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a frame must be uint8 [{height}, {width}, 3], not {rgb.dtype} {list(rgb.shape)}")
        rows = np.ascontiguousarray(rgb).reshape(height, -1)
        marked = np.empty_like(rows) if out is None else out.reshape(rows.shape)
        _lay_on(rows, _heights(rows), self._pattern, self._dither, marked)
        marked = marked.reshape(rgb.shape)
        if alpha is not None:
            np.copyto(marked, rgb, where=(alpha != 255)[..., None])
        return marked


def _over_width(tile: np.ndarray, width: int) -> np.ndarray:
    """A tile repeated over the width, once for each colour: float32 [P, 3 * width]."""
    return np.repeat(tile[:, np.arange(width) % tile.shape[1]], 3, axis=1).astype(np.float32)


def _dither(side: int) -> np.ndarray:
    """Thresholds in [0, 1) without low frequencies, so that rounding hides in noise that neither eye nor mark sees."""
    noise = np.random.Generator(np.random.PCG64(1)).random((side, side))
    turns = np.fft.fftfreq(side)
    rough = np.hypot(turns[:, None], turns[None]) ** 1.0
    shaped = np.fft.ifft2(np.fft.fft2(noise) * rough).real
    ranks = np.empty(side * side)
    ranks[shaped.ravel().argsort(kind="stable")] = (np.arange(side * side) + 0.5) / (side * side)
    return ranks.reshape(side, side).astype(np.float32)


def _heights(rows: np.ndarray) -> np.ndarray:
    """How high the pattern is in levels, at each block of a frame uint8 [H, 3 * W]: float32 [ceil(H/8), ceil(W/8)]."""
    shape = (-(-rows.shape[0] // BLOCK_PX), -(-rows.shape[1] // (3 * BLOCK_PX)))
    heights = np.empty(shape, np.float32)
    _measure(rows, np.empty(shape, np.float32), heights)
    return heights * np.float32(min(_LARGEST_RMS / np.sqrt(np.mean(heights * heights)), 1))


@kernel(types.void(_u8rows, _f32rows, _f32rows), fastmath=True)
def _measure(rows, busy, heights):
    """From the mean step between pixels (green, every other row) and the lightness of blocks."""
    bottom, right = rows.shape[0], rows.shape[1] // 3
    for i in range(busy.shape[0]):
        for j in range(busy.shape[1]):
            steps = 0
            total = 0
            count = 0
            for y in range(i * BLOCK_PX, min(i * BLOCK_PX + BLOCK_PX, bottom - 1), 2):
                for x in range(j * BLOCK_PX, min(j * BLOCK_PX + BLOCK_PX, right - 1)):
                    value = np.int32(rows[y, 3 * x + 1])
                    steps += abs(np.int32(rows[y, 3 * x + 4]) - value) + abs(np.int32(rows[y + 1, 3 * x + 1]) - value)
                    total += value
                    count += 1
            count = max(count, 1)
            mean = np.float32(0.5) * np.float32(steps) / np.float32(count)
            # blocks beside an edge are flat themselves: what is averaged below must not be led by few high values
            busy[i, j] = mean / (mean + np.float32(_BUSY))
            light = np.float32(total) / np.float32(count)
            heights[i, j] = min(max(light / np.float32(48), np.float32(0.4)), np.float32(1))
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


@kernel(types.void(_u8rows, _f32rows, _f32rows, _f32rows, _u8rows), fastmath=True)
def _lay_on(rows, heights, pattern, dither, out):
    """`out` = `rows` + pattern times height, rounded by dither; heights are interpolated between block centres."""
    bottom, wide = rows.shape
    across = np.empty(heights.shape[1], np.float32)
    height = np.empty(wide, np.float32)
    last_i, last_j = heights.shape[0] - 1, heights.shape[1] - 1
    for y in range(bottom):
        if y % 4 == 0:
            place = min(max((np.float32(y) + np.float32(2)) / BLOCK_PX - np.float32(0.5), np.float32(0)), last_i)
            i = min(int(place), max(last_i - 1, 0))
            low = np.float32(place - i)
            for j in range(last_j + 1):
                across[j] = heights[i, j] + low * (heights[min(i + 1, last_i), j] - heights[i, j])
            for x in range(wide // 3):
                place = min(max((np.float32(x) + np.float32(0.5)) / BLOCK_PX - np.float32(0.5), np.float32(0)), last_j)
                j = min(int(place), max(last_j - 1, 0))
                value = np.float32(across[j] + np.float32(place - j) * (across[min(j + 1, last_j)] - across[j]))
                height[3 * x] = value
                height[3 * x + 1] = value
                height[3 * x + 2] = value
        tile_row = y % pattern.shape[0]
        for x in range(wide):
            value = np.float32(rows[y, x]) + pattern[tile_row, x] * height[x] + dither[tile_row, x]
            out[y, x] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
