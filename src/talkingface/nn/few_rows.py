"""Products of a matrix with one row or a few at a time, as in live use, where reading the matrix is what takes time.

BLAS reads such a matrix in single precision once a row; here it is read in eight bits, once.
"""

from __future__ import annotations

import numpy as np
from numba import types

from talkingface.core.kernels import kernel

MOST_ROWS = 8
"""With more rows BLAS is faster."""


class Matrix:
    """A linear layer of `weight` [out, in] and `bias` [out], for rows [T, in]: `rows @ weight.T + bias`.

    `few`: whether rows come a few at a time. The result is then that of weights rounded to eight bits, which is exact
    for weights that were stored so.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray, few: bool) -> None:
        weight = np.asarray(weight, np.float32)
        self.bias = np.asarray(bias, np.float32)
        self._columns = np.ascontiguousarray(weight.T)
        self._steps: np.ndarray | None = None
        if few:
            self._scale = np.maximum(np.abs(weight).max(axis=1), np.float32(1e-12)) / np.float32(127)
            self._steps = np.round(weight / self._scale[:, None]).astype(np.int8)

    @property
    def outputs(self) -> int:
        """Numbers in a row that comes out."""
        return self._columns.shape[1]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """float32 [T, in] -> float32 [T, out]."""
        if self._steps is None or len(rows) > MOST_ROWS:
            return rows @ self._columns + self.bias
        out = np.empty((len(rows), self.outputs), np.float32)
        _multiply(np.ascontiguousarray(rows), self._steps, self._scale, self.bias, out)
        return out


_ROWS = types.float32[:, ::1]
_VALUES = types.float32[::1]


@kernel(types.void(_ROWS, types.int8[:, ::1], _VALUES, _VALUES, _ROWS), fastmath=True)
def _multiply(rows: np.ndarray, steps: np.ndarray, scale: np.ndarray, bias: np.ndarray, out: np.ndarray) -> None:
    count, width = rows.shape
    for k in range(len(steps)):
        row = steps[k]
        for r in range(count):
            total = np.float32(0)
            values = rows[r]
            for j in range(width):
                total += np.float32(row[j]) * values[j]
            out[r, k] = total * scale[k] + bias[k]
