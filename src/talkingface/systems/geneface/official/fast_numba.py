"""Compiled kernels of `official/fast.py`. Nothing here checks its arguments; the GIL is released, one thread used."""

from __future__ import annotations

import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.nn.ray_march import MIN_TRANSMITTANCE

_ZERO, _ONE = np.float32(0), np.float32(1)
_LEAST_LIGHT = np.float32(MIN_TRANSMITTANCE)


def _input(dtype: types.Type, ndim: int) -> types.Array:
    return types.Array(dtype, ndim, "C", readonly=True)


_ROWS, _VALUES, _NUMBERS = _input(types.float32, 2), _input(types.float32, 1), _input(types.int64, 1)
_FLAGS = types.boolean[::1]


@kernel(
    types.int64(_ROWS, _NUMBERS, _FLAGS, types.int64, _NUMBERS, _ROWS, _ROWS, types.int64[::1], types.float32[:, ::1]),
    error_model="numpy",
)
def gather(begins, counts, going, place, alive, origins, directions, ids, points):
    """Fill `ids` and `points` [A, 3] with the rays, by their row, that are still `going` and have a sample at this
    place; a ray without one has ended. Gives their number."""
    number = 0
    for row in range(counts.shape[0]):
        if not going[row] or counts[row] <= place:
            continue
        ray, begin = alive[row], begins[row, place]
        for axis in range(3):
            value = origins[ray, axis] + begin * directions[ray, axis]
            points[number, axis] = min(max(value, -_ONE), _ONE)
        ids[number] = row
        number += 1
    return number


@kernel(
    types.int64(
        _VALUES, _NUMBERS, _NUMBERS, _ROWS, types.int64, types.float32, types.float32, types.float32[::1],
        types.float32[::1], _FLAGS, types.int64[::1], types.float32[::1],
    ),
    error_model="numpy",
)  # fmt: skip
def shine(sigma, ids, alive, begins, place, length, least, opacity, depth, going, chosen, weights):
    """Put densities [M] of rays `ids` [M] before what shines through so far. Gives how many are seen at all: their
    places in the block are in `chosen`, their weights in `weights`. Rays that nothing shines through end."""
    number = 0
    for k in range(sigma.shape[0]):
        row = ids[k]
        ray = alive[row]
        through = _ONE - opacity[ray]
        weight = -np.float32(np.expm1(-sigma[k] * length)) * through
        opacity[ray] += weight
        depth[ray] += weight * (begins[row, place] + length)
        if through < _LEAST_LIGHT:
            going[row] = False
        if weight > least:
            chosen[number] = k
            weights[number] = weight
            number += 1
    return number


@kernel(types.void(_ROWS, _VALUES, _NUMBERS, types.float32[:, ::1]), error_model="numpy")
def add_light(colours, weights, rays, image):
    """Add colours [K, 3] by their weights to what the rays [K] show."""
    for k in range(colours.shape[0]):
        for channel in range(3):
            image[rays[k], channel] += weights[k] * colours[k, channel]
