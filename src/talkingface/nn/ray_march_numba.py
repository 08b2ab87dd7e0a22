"""The compiled kernel of `nn/ray_march.py` for single precision: where on each ray there are samples.

Nothing here checks its arguments. It releases the GIL and uses one thread.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from talkingface.core.kernels import kernel

_ZERO, _ONE, _TWO, _HALF = (np.float32(value) for value in (0, 1, 2, 0.5))
_RAYS = types.Array(types.float32, 2, "C", readonly=True)
_EACH = types.Array(types.float32, 1, "C", readonly=True)
_CELLS = types.Array(types.boolean, 1, "C", readonly=True)
_OUT = (types.float32[:, ::1], types.int64[::1], types.float32[::1])


@njit(inline="always")
def _spread(value):  # type: ignore[no-untyped-def]
    """The ten lowest bits, two empty ones between each."""
    value = (value | (value << 16)) & 0x030000FF
    value = (value | (value << 8)) & 0x0300F00F
    value = (value | (value << 4)) & 0x030C30C3
    return (value | (value << 2)) & 0x09249249


@njit(inline="always")
def _clipped(value, low, high):  # type: ignore[no-untyped-def]
    return min(max(value, low), high)


@njit(inline="always")
def _to_face(cell, place, direction, side):  # type: ignore[no-untyped-def]
    """How far along the ray the cell ends in one axis."""
    if direction == _ZERO:
        return np.float32(np.inf)
    ahead = _HALF if direction > _ZERO else -_HALF
    return ((np.float32(cell) + _HALF + ahead) * (_TWO / side) - _ONE - place) / direction


@kernel(types.void(_RAYS, _RAYS, _EACH, _EACH, _CELLS, types.int64, types.float32, *_OUT), error_model="numpy")
def find_samples(origins, directions, starts, far, occupied, cells, step, found, counts, stopped):
    """Fill `found` [N, steps] with where the samples of each ray begin, `counts` int64 [N] with their number, and
    `stopped` [N] with where the ray goes on."""
    side = np.float32(cells)
    for ray in range(origins.shape[0]):
        ox, oy, oz = origins[ray, 0], origins[ray, 1], origins[ray, 2]
        dx, dy, dz = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        t, count = starts[ray], 0
        while t < far[ray] and count < found.shape[1]:
            x = _clipped(ox + t * dx, -_ONE, _ONE)
            y = _clipped(oy + t * dy, -_ONE, _ONE)
            z = _clipped(oz + t * dz, -_ONE, _ONE)
            i = np.int64(_clipped(_HALF * (x + _ONE) * side, _ZERO, side - _ONE))
            j = np.int64(_clipped(_HALF * (y + _ONE) * side, _ZERO, side - _ONE))
            k = np.int64(_clipped(_HALF * (z + _ONE) * side, _ZERO, side - _ONE))
            if occupied[_spread(i) | _spread(j) << 1 | _spread(k) << 2]:
                found[ray, count] = t
                count += 1
                t += step
                continue
            face = min(_to_face(i, x, dx, side), _to_face(j, y, dy, side), _to_face(k, z, dz, side))
            free = np.ceil(max(face, _ZERO) / step)
            t += max(free, _ONE) * step
        counts[ray] = count
        stopped[ray] = t
