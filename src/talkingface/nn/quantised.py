"""Arrays in eight bits: each row of a matrix has a scale of its own, kept beside it under `<name>.scale`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_SCALE = ".scale"
_SMALL = 4096
"""Arrays of fewer numbers stay in half precision: nothing is won."""


def quantised(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Large float arrays [rows, ...] as int8 with a float16 scale per row, small ones as float16.

    The error is at most half a step, a 254th of the row's largest value.
    """
    found: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        if value.ndim < 2 or value.size < _SMALL:
            found[name] = value.astype(np.float16)
            continue
        rows = value.reshape(len(value), -1).astype(np.float32)
        scale = np.maximum(np.abs(rows).max(axis=1), 1e-6) / 127
        scale = np.maximum(scale.astype(np.float16), np.finfo(np.float16).tiny)
        steps = np.clip(np.round(rows / scale.astype(np.float32)[:, None]), -127, 127)
        found[name], found[name + _SCALE] = steps.astype(np.int8).reshape(value.shape), scale
    return found


def dequantised(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `quantised` gave as float32; arrays without a scale beside them are only converted."""
    found = {}
    for name, value in tensors.items():
        scale = tensors.get(name + _SCALE)
        if scale is not None:
            found[name] = value.astype(np.float32) * scale.astype(np.float32).reshape(-1, *(1,) * (value.ndim - 1))
        elif not (name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors):
            found[name] = value.astype(np.float32) if value.dtype.kind == "f" else value
    return found
