"""Pictures made smaller by area averages: OpenCV's `INTER_AREA`, twice as fast where the factor is no whole number.

Kept equal to it to the bit, in the order of its float32 sums, so that what was tracked or measured with the one stays
valid with the other. Compiled when it is first imported after an installation; one thread, interpreter lock released.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel

_LEAST_SHARE = 1e-3  # a source pixel that covers less of a new one is left out
_FEW_TAPS = 3
_HALF_EVEN = np.float32(1.5 * 2**23)  # adding and taking it away rounds as the processor does

_Taps = tuple[np.ndarray, np.ndarray, np.ndarray]


def shrink_area(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture uint8 [H, W, 3] scaled down to `size` (width, height), each new pixel the mean of what it covers.

    Factors that are whole numbers are OpenCV's: it has a fast way for these. Raises ValueError for an enlargement.
    """
    height, width = rgb.shape[:2]
    if size[0] > width or size[1] > height or min(size) < 1:
        raise ValueError(f"{width} x {height} pixels cannot be shrunk to {size[0]} x {size[1]}")
    if width % size[0] == 0 and height % size[1] == 0:
        return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    small = np.empty((size[1], size[0], 3), np.uint8)
    first_x, _, share_x = _taps(width, size[0])
    _shrink(np.ascontiguousarray(rgb), first_x, share_x, *_taps(height, size[1]), small)
    return small


@lru_cache(maxsize=256)
def _taps(length: int, target: int) -> _Taps:
    """For each new pixel: its first old one, how many it covers, and their shares [target, at least 3]."""
    scale = length / target
    starts = np.arange(target) * scale
    ends = (np.arange(target) + 1) * scale
    covered = np.minimum(scale, length - starts)
    whole_ends = np.minimum(np.floor(ends), length - 1)
    wholes = np.minimum(np.ceil(starts), whole_ends)
    before, after = wholes - starts > _LEAST_SHARE, ends - whole_ends > _LEAST_SHARE
    whole = (whole_ends - wholes).astype(int)
    count = before + whole + after
    place = np.arange(max(_FEW_TAPS, int(count.max()))) - before[:, None]  # among the pixels that are covered whole
    shares = np.where((place >= 0) & (place < whole[:, None]), 1 / covered[:, None], 0)
    shares[before, 0] = ((wholes - starts) / covered)[before]
    rest = np.minimum(np.minimum(ends - whole_ends, 1.0), covered) / covered
    shares[after, count[after] - 1] = rest[after]
    return (wholes - before).astype(np.uint64), count.astype(np.uint64), shares.astype(np.float32)


# without a sign numba need not ask whether an index counts from the end
_INDICES = types.Array(types.uint64, 1, "C", readonly=True)
_ONE, _TWO, _PIXEL = np.uint64(1), np.uint64(2), np.uint64(3)
_SHARES = types.Array(types.float32, 2, "C", readonly=True)
_RGB = types.Array(types.uint8, 3, "C", readonly=True)


@kernel(
    types.void(_RGB, _INDICES, _SHARES, _INDICES, _INDICES, _SHARES, types.uint8[:, :, ::1]),
    error_model="numpy",
)
def _shrink(
    rgb: np.ndarray, first_x: np.ndarray, share_x: np.ndarray, first_y: np.ndarray, count_y: np.ndarray,
    share_y: np.ndarray, small: np.ndarray,
) -> None:  # fmt: skip
    height, width = small.shape[:2]
    taps = share_x.shape[1]
    old, new = rgb.reshape(rgb.shape[0], 3 * rgb.shape[1]), small.reshape(height, 3 * width)
    line = np.zeros(3 * (rgb.shape[1] + taps), np.float32)  # the last taps of the last pixel may reach beyond
    across, total = np.empty(3 * width, np.float32), np.empty(3 * width, np.float32)
    share_a, share_b = np.ascontiguousarray(share_x[:, 0]), np.ascontiguousarray(share_x[:, 1])
    share_c = np.ascontiguousarray(share_x[:, 2])
    done = -1
    for y in range(height):
        for k in range(np.int64(count_y[y])):
            if np.int64(first_y[y]) + k != done:  # neighbours in y share a row
                done = np.int64(first_y[y]) + k
                row = old[done]
                for x in range(len(row)):
                    line[x] = row[x]
                if taps == _FEW_TAPS:
                    for x in range(width):
                        at = _PIXEL * first_x[x]
                        second, third = at + _PIXEL, at + _PIXEL + _PIXEL
                        a, b, c = share_a[x], share_b[x], share_c[x]
                        across[3 * x] = line[at] * a + line[second] * b + line[third] * c
                        across[3 * x + 1] = line[at + _ONE] * a + line[second + _ONE] * b + line[third + _ONE] * c
                        across[3 * x + 2] = line[at + _TWO] * a + line[second + _TWO] * b + line[third + _TWO] * c
                else:
                    for x in range(width):
                        at = _PIXEL * first_x[x]
                        red, green, blue = np.float32(0), np.float32(0), np.float32(0)
                        for j in range(taps):
                            red += line[at] * share_x[x, j]
                            green += line[at + _ONE] * share_x[x, j]
                            blue += line[at + _TWO] * share_x[x, j]
                            at += _PIXEL
                        across[3 * x], across[3 * x + 1], across[3 * x + 2] = red, green, blue
            share = share_y[y, k]
            if k == 0:
                for x in range(len(total)):
                    total[x] = share * across[x]
            else:
                for x in range(len(total)):
                    total[x] += share * across[x]
        shown = new[y]
        for x in range(len(total)):
            shown[x] = np.uint8(np.int32((total[x] + _HALF_EVEN) - _HALF_EVEN))
