"""The rule that gives every tensor of a state dict its recorded numbers, from its name, its shape and a seed.

Two implementations that agree on names and shapes then hold the same weights without exchanging a checkpoint.
"""

from __future__ import annotations

import math
import zlib

import numpy as np


def philox(*key: int) -> np.random.Generator:
    """The counter-based generator of a key (seed, stream)."""
    return np.random.Generator(np.random.Philox(key=list(key)))


def draw_tensor(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """What a floating-point tensor called `name` holds: float32 of `shape`."""
    rng = philox(seed, zlib.crc32(name.encode()))
    kind = name.rpartition(".")[2]
    if kind == "running_var":
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    normal = rng.standard_normal(shape)
    if kind == "running_mean":
        normal *= 0.1
    elif kind in ("weight_u", "weight_v"):
        normal /= np.linalg.norm(normal)
    elif len(shape) > 1:  # matrices and kernels, He scaled
        normal *= math.sqrt(2 / math.prod(shape[1:]))
    elif kind.startswith("weight"):
        normal = 1 + 0.1 * normal
    else:
        normal *= 0.05
    return normal.astype(np.float32)
