"""Fixed encodings that radiance fields give to small networks: octaves of sines, and spherical harmonics."""

from __future__ import annotations

import torch
from torch import Tensor

SH_FEATURES = 16


def frequency_features(x: Tensor, octaves: int) -> Tensor:
    """x [..., D] -> [..., D (1 + 2 octaves)]: x, then sin(2^k x) and cos(2^k x) of all dimensions for each octave k."""
    waves = [function(x * 2.0**k) for k in range(octaves) for function in (torch.sin, torch.cos)]
    return torch.cat([x, *waves], -1)


def harmonic_features(directions: Tensor) -> Tensor:
    """The sixteen real spherical harmonics of degrees 0 to 3 at unit vectors [..., 3]: [..., 16].

    Signs and order are those of the encoders that radiance fields are published with.
    """
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.full_like(x, 0.28209479177387814),
            -0.48860251190291987 * y,
            0.48860251190291987 * z,
            -0.48860251190291987 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.94617469575755997 * zz - 0.31539156525251999,
            -1.0925484305920792 * x * z,
            0.54627421529603959 * (xx - yy),
            0.59004358992664352 * y * (yy - 3 * xx),
            2.8906114426405538 * x * y * z,
            0.45704579946446572 * y * (1 - 5 * zz),
            0.3731763325901154 * z * (5 * zz - 3),
            0.45704579946446572 * x * (1 - 5 * zz),
            1.4453057213202769 * z * (xx - yy),
            0.59004358992664352 * x * (3 * yy - xx),
        ],
        -1,
    )
