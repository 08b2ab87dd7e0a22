"""Compiled kernels of `nn/grid_encoder.py` for single precision and two features: values, and gradients of both inputs.

Nothing here checks its arguments. All kernels release the GIL and use one thread. Levels are the outer loop, so that
one level's table stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit, types

from talkingface.core.kernels import kernel

FEATURES = 2
_ONE, _TWO, _THREE, _SIX, _HALF = (np.float32(value) for value in (1, 2, 3, 6, 0.5))
_P1, _P2 = np.int64(2654435761), np.int64(805459861)


def _input(dtype: types.Type, ndim: int) -> types.Array:
    return types.Array(dtype, ndim, "C", readonly=True)


_ARRAY, _WRITTEN = _input(types.float32, 2), types.float32[:, ::1]
_LEVELS = (_input(types.float32, 1), _input(types.int64, 2), types.boolean)
"""Scales [L]; rows int64 [L, 6]: where the level begins, the strides of x, y and z, the mask that wraps, whether it is
hashed; whether corners are mixed smoothly."""


def _kernel(*arguments: types.Type) -> Callable[[Callable], Callable]:
    return kernel(types.void(*arguments), error_model="numpy", fastmath={"contract"})


@njit(inline="always")
def _placed(value, scale):  # type: ignore[no-untyped-def]
    """The cell of a coordinate in [-1, 1], and where in it."""
    position = (value + _ONE) * _HALF * scale + _HALF
    cell = np.int64(position)
    return cell, position - np.float32(cell)


@njit(inline="always")
def _eased(part, smooth):  # type: ignore[no-untyped-def]
    """The weight of the upper corner, and its derivative."""
    if smooth:
        return part * part * (_THREE - _TWO * part), _SIX * part * (_ONE - part)
    return part, _ONE


@njit(inline="always")
def _parts(cell, stride, prime, hashed):  # type: ignore[no-untyped-def]
    """What the lower and the upper corner add to a row's number."""
    step = prime if hashed else stride
    return cell * step, (cell + 1) * step


@njit(inline="always")
def _row(start, mask, hashed, x, y, z):  # type: ignore[no-untyped-def]
    return start + ((x ^ y ^ z) & mask if hashed else (x + y + z) & mask)


@_kernel(_ARRAY, _ARRAY, *_LEVELS, _WRITTEN, types.int64)
def encode_3d(points, table, scales, levels, smooth, out, first):
    """Fill `out` [N, >= first + 2 L] from column `first` on for points [N, 3] of a table [rows, 2]."""
    for level in range(scales.shape[0]):
        scale, start, mask, hashed = scales[level], levels[level, 0], levels[level, 4], levels[level, 5] != 0
        column = first + 2 * level
        for i in range(points.shape[0]):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            if not (abs(x) <= 1 and abs(y) <= 1 and abs(z) <= 1):
                out[i, column] = 0
                out[i, column + 1] = 0
                continue
            cell_x, part = _placed(x, scale)
            x1, _ = _eased(part, smooth)
            cell_y, part = _placed(y, scale)
            y1, _ = _eased(part, smooth)
            cell_z, part = _placed(z, scale)
            z1, _ = _eased(part, smooth)
            ax, bx = _parts(cell_x, levels[level, 1], 1, hashed)
            ay, by = _parts(cell_y, levels[level, 2], _P1, hashed)
            az, bz = _parts(cell_z, levels[level, 3], _P2, hashed)
            one, other = np.float32(0), np.float32(0)
            for corner in range(4):
                cy, wy = (by, y1) if corner & 1 else (ay, _ONE - y1)
                cz, wz = (bz, z1) if corner & 2 else (az, _ONE - z1)
                weight = wy * wz
                low = _row(start, mask, hashed, ax, cy, cz)
                high = _row(start, mask, hashed, bx, cy, cz)
                one += weight * ((_ONE - x1) * table[low, 0] + x1 * table[high, 0])
                other += weight * ((_ONE - x1) * table[low, 1] + x1 * table[high, 1])
            out[i, column] = one
            out[i, column + 1] = other


@_kernel(_ARRAY, _ARRAY, *_LEVELS, _WRITTEN, types.int64)
def encode_2d(points, table, scales, levels, smooth, out, first):
    """The same for points [N, 2]."""
    for level in range(scales.shape[0]):
        scale, start, mask, hashed = scales[level], levels[level, 0], levels[level, 4], levels[level, 5] != 0
        column = first + 2 * level
        for i in range(points.shape[0]):
            x, y = points[i, 0], points[i, 1]
            if not (abs(x) <= 1 and abs(y) <= 1):
                out[i, column] = 0
                out[i, column + 1] = 0
                continue
            cell_x, part = _placed(x, scale)
            x1, _ = _eased(part, smooth)
            cell_y, part = _placed(y, scale)
            y1, _ = _eased(part, smooth)
            ax, bx = _parts(cell_x, levels[level, 1], 1, hashed)
            ay, by = _parts(cell_y, levels[level, 2], _P1, hashed)
            aa, ba = _row(start, mask, hashed, ax, ay, 0), _row(start, mask, hashed, bx, ay, 0)
            ab, bb = _row(start, mask, hashed, ax, by, 0), _row(start, mask, hashed, bx, by, 0)
            x0, y0 = _ONE - x1, _ONE - y1
            for k in range(2):
                lower = x0 * table[aa, k] + x1 * table[ba, k]
                upper = x0 * table[ab, k] + x1 * table[bb, k]
                out[i, column + k] = y0 * lower + y1 * upper


@_kernel(_ARRAY, _ARRAY, *_LEVELS, _ARRAY, _WRITTEN, _WRITTEN)
def gradients_3d(points, table, scales, levels, smooth, sent, to_table, to_points):
    """Add to `to_table` [rows, 2] and `to_points` [N, 3] what `sent` [N, 2 L] sends back; an empty `to_points` is left
    out."""
    for level in range(scales.shape[0]):
        scale, start, mask, hashed = scales[level], levels[level, 0], levels[level, 4], levels[level, 5] != 0
        for i in range(points.shape[0]):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            if not (abs(x) <= 1 and abs(y) <= 1 and abs(z) <= 1):
                continue
            first, second = sent[i, 2 * level], sent[i, 2 * level + 1]
            cell_x, part = _placed(x, scale)
            x1, dx = _eased(part, smooth)
            cell_y, part = _placed(y, scale)
            y1, dy = _eased(part, smooth)
            cell_z, part = _placed(z, scale)
            z1, dz = _eased(part, smooth)
            ax, bx = _parts(cell_x, levels[level, 1], 1, hashed)
            ay, by = _parts(cell_y, levels[level, 2], _P1, hashed)
            az, bz = _parts(cell_z, levels[level, 3], _P2, hashed)
            slope_x, slope_y, slope_z = np.float32(0), np.float32(0), np.float32(0)
            for corner in range(8):
                cx, wx, sx = (bx, x1, _ONE) if corner & 1 else (ax, _ONE - x1, -_ONE)
                cy, wy, sy = (by, y1, _ONE) if corner & 2 else (ay, _ONE - y1, -_ONE)
                cz, wz, sz = (bz, z1, _ONE) if corner & 4 else (az, _ONE - z1, -_ONE)
                row = _row(start, mask, hashed, cx, cy, cz)
                weight = wx * wy * wz
                to_table[row, 0] += weight * first
                to_table[row, 1] += weight * second
                value = first * table[row, 0] + second * table[row, 1]
                slope_x += sx * wy * wz * value
                slope_y += sy * wx * wz * value
                slope_z += sz * wx * wy * value
            if to_points.shape[0]:
                half = scale * _HALF
                to_points[i, 0] += half * dx * slope_x
                to_points[i, 1] += half * dy * slope_y
                to_points[i, 2] += half * dz * slope_z


@_kernel(_ARRAY, _ARRAY, *_LEVELS, _ARRAY, _WRITTEN, _WRITTEN)
def gradients_2d(points, table, scales, levels, smooth, sent, to_table, to_points):
    """The same for points [N, 2]."""
    for level in range(scales.shape[0]):
        scale, start, mask, hashed = scales[level], levels[level, 0], levels[level, 4], levels[level, 5] != 0
        for i in range(points.shape[0]):
            x, y = points[i, 0], points[i, 1]
            if not (abs(x) <= 1 and abs(y) <= 1):
                continue
            first, second = sent[i, 2 * level], sent[i, 2 * level + 1]
            cell_x, part = _placed(x, scale)
            x1, dx = _eased(part, smooth)
            cell_y, part = _placed(y, scale)
            y1, dy = _eased(part, smooth)
            ax, bx = _parts(cell_x, levels[level, 1], 1, hashed)
            ay, by = _parts(cell_y, levels[level, 2], _P1, hashed)
            slope_x, slope_y = np.float32(0), np.float32(0)
            for corner in range(4):
                cx, wx, sx = (bx, x1, _ONE) if corner & 1 else (ax, _ONE - x1, -_ONE)
                cy, wy, sy = (by, y1, _ONE) if corner & 2 else (ay, _ONE - y1, -_ONE)
                row = _row(start, mask, hashed, cx, cy, 0)
                to_table[row, 0] += wx * wy * first
                to_table[row, 1] += wx * wy * second
                value = first * table[row, 0] + second * table[row, 1]
                slope_x += sx * wy * value
                slope_y += sy * wx * value
            if to_points.shape[0]:
                half = scale * _HALF
                to_points[i, 0] += half * dx * slope_x
                to_points[i, 1] += half * dy * slope_y
