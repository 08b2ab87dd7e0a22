"""The compiled inside of SSIM: local means and variances of two lumas, row by row, in the processor's cache.

Compiled when it is first imported after an installation (or a change of this file); numba keeps the result. It releases
the interpreter lock and uses one thread.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel

WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_MARGIN = WINDOW // 2
_TAPS = cv2.getGaussianKernel(WINDOW, SIGMA).ravel().astype(np.float32)
_LUMA = types.Array(types.float32, 2, "C", readonly=True)


@kernel(
    types.UniTuple(types.float64, 2)(_LUMA, _LUMA, types.float32[::1], types.float32, types.float32),
    fastmath={"contract"},
    error_model="numpy",
)
def _sums(a: np.ndarray, b: np.ndarray, taps: np.ndarray, c1: float, c2: float) -> tuple[float, float]:
    """Sums of SSIM and of contrast-structure over the whole windows of two lumas float32 [H, W].

    Means, variances and covariance of a and b follow from those of a + b and a - b: 4 mean_a mean_b is the difference
    of the squared means, 4 cov the difference of the variances. That takes four filters, not five, and equal pictures
    score exactly 1.
    """
    height, width = a.shape
    inside = width - WINDOW + 1
    # the newest rows of a + b, a - b and their squares; then their means down the columns, then along the row
    ring = np.empty((4, WINDOW, width), np.float32)
    down, both = np.empty((4, width), np.float32), np.empty((4, inside), np.float32)
    structures, wholes = np.zeros(inside), np.zeros(inside)
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for y in range(height):
        slot = y % WINDOW
        plus, minus, plus2, minus2 = ring[0, slot], ring[1, slot], ring[2, slot], ring[3, slot]
        for x in range(width):
            p, m = a[y, x] + b[y, x], a[y, x] - b[y, x]
            plus[x], minus[x], plus2[x], minus2[x] = p, m, p * p, m * m
        if y < WINDOW - 1:
            continue
        for k in range(4):
            rows, row, mean = ring[k], down[k], both[k]
            r0, r1, r2 = rows[(y + 1) % WINDOW], rows[(y + 2) % WINDOW], rows[(y + 3) % WINDOW]
            r3, r4, r5 = rows[(y + 4) % WINDOW], rows[(y + 5) % WINDOW], rows[(y + 6) % WINDOW]
            r6, r7, r8 = rows[(y + 7) % WINDOW], rows[(y + 8) % WINDOW], rows[(y + 9) % WINDOW]
            r9, r10 = rows[(y + 10) % WINDOW], rows[slot]
            for x in range(width):
                row[x] = (
                    t5 * r5[x]
                    + t4 * (r4[x] + r6[x])
                    + t3 * (r3[x] + r7[x])
                    + t2 * (r2[x] + r8[x])
                    + t1 * (r1[x] + r9[x])
                    + t0 * (r0[x] + r10[x])
                )
            for x in range(inside):
                mean[x] = (
                    t5 * row[x + 5]
                    + t4 * (row[x + 4] + row[x + 6])
                    + t3 * (row[x + 3] + row[x + 7])
                    + t2 * (row[x + 2] + row[x + 8])
                    + t1 * (row[x + 1] + row[x + 9])
                    + t0 * (row[x] + row[x + 10])
                )
        for x in range(inside):
            mean_plus, mean_minus = both[0, x] * both[0, x], both[1, x] * both[1, x]
            varied_plus, varied_minus = both[2, x] - mean_plus, both[3, x] - mean_minus
            structure = (varied_plus - varied_minus + c2) / (varied_plus + varied_minus + c2)
            structures[x] += structure
            wholes[x] += structure * ((mean_plus - mean_minus + c1) / (mean_plus + mean_minus + c1))
    return wholes.sum(), structures.sum()


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure of two lumas float32 [H, W] of at least 11 x 11; exactly 1 for equal ones.

    In float32: good to 1e-6 on pictures with texture, 1e-4 on flat ones.
    """
    whole, structure = _sums(np.ascontiguousarray(a), np.ascontiguousarray(b), _TAPS, 2 * C1, 2 * C2)
    count = (a.shape[0] - WINDOW + 1) * (a.shape[1] - WINDOW + 1)
    return whole / count, structure / count
