"""Multi-resolution grids of learned features (Mueller et al. 2022): a point's features, interpolated on every level.

This is the plain form: each level looks up the corners of the point's cell and mixes them, and gradients are torch's
own. Two ways to number the cells of levels that have more corners than rows: "hashgrid" mixes the coordinates' bits,
"tiledgrid" wraps the usual numbering, which there leaves out the coordinates whose stride is past the table.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

_PRIMES = (1, 2654435761, 805459861)
_INIT = 1e-4
KINDS = ("hashgrid", "tiledgrid")
INTERPOLATIONS = ("linear", "smoothstep")


class GridEncoder(nn.Module):
    """Points [N, D] in [-1, 1] -> features [N, levels * features], level by level; points outside get zeros.

    `embeddings` [rows, features] holds the levels one after the other, `offsets` [levels + 1] where each begins: the
    names and numbers of torch-ngp's encoder, so that its weights load. The grids' cells shrink geometrically from
    `base` to `finest` cells a side; a level has at most 2^`log2_rows` rows.

    Positions need single precision at least: half precision cannot tell the cells of the finest levels apart.
    """

    embeddings: Tensor
    offsets: Tensor

    def __init__(
        self,
        dimensions: int = 3,
        *,
        levels: int = 16,
        features: int = 2,
        base: int = 16,
        finest: int = 2048,
        log2_rows: int = 16,
        kind: str = "tiledgrid",
        interpolation: str = "linear",
    ) -> None:
        super().__init__()
        if kind not in KINDS or interpolation not in INTERPOLATIONS:
            raise ValueError(f"grids are one of {KINDS} and {INTERPOLATIONS}, not {kind} and {interpolation}")
        self.dimensions, self.kind, self.interpolation = dimensions, kind, interpolation
        # in single precision throughout, as published: another rounding moves the finest cells' corners
        growth = np.float32(math.log2(finest / base) / (levels - 1))
        powers = np.exp2(np.arange(levels, dtype=np.float32) * growth)
        self.scales = tuple((powers * np.float32(base) - np.float32(1)).tolist())
        self.sides = tuple(math.ceil(scale) + 2 for scale in self.scales)
        """Corners along each side of every level."""
        rows = [min(1 << log2_rows, side**dimensions) for side in self.sides]
        self.rows = tuple(-(-count // 8) * 8 for count in rows)
        offsets = np.concatenate([[0], np.cumsum(self.rows)])
        self.register_buffer("offsets", torch.from_numpy(offsets.astype(np.int32)))
        self.embeddings = nn.Parameter(torch.empty(int(offsets[-1]), features).uniform_(-_INIT, _INIT))

    @property
    def num_features(self) -> int:
        """Width of the output."""
        return len(self.rows) * self.embeddings.shape[1]

    def forward(self, points: Tensor) -> Tensor:
        unit = (points + 1) / 2
        inside = ((unit >= 0) & (unit <= 1)).all(-1, keepdim=True)
        start, encoded = 0, []
        for scale, side, rows in zip(self.scales, self.sides, self.rows, strict=True):
            encoded.append(self._level(unit, scale, side, self.embeddings[start : start + rows]))
            start += rows
        return torch.where(inside, torch.cat(encoded, -1), 0)

    def _level(self, unit: Tensor, scale: float, side: int, table: Tensor) -> Tensor:
        position = unit * scale + 0.5
        corner = position.detach().clamp(0, side).floor()  # points outside are zeroed later, but must be looked up
        part = position - corner
        if self.interpolation == "smoothstep":
            part = part * part * (3 - 2 * part)
        mixed = torch.zeros((), dtype=unit.dtype, device=unit.device)
        for bits in range(1 << self.dimensions):
            upper = [bits >> d & 1 for d in range(self.dimensions)]
            weight = torch.stack([part[:, d] if up else 1 - part[:, d] for d, up in enumerate(upper)]).prod(0)
            at = corner.long() + torch.tensor(upper, device=unit.device)
            mixed = mixed + weight[:, None] * table[grid_rows(at, side, len(table), self.kind)].to(unit.dtype)
        return mixed


def grid_rows(corners: Tensor, side: int, rows: int, kind: str) -> Tensor:
    """Rows [N] of the table of a level with `side` corners a side, at whole coordinates int64 [N, D]."""
    number, stride = torch.zeros_like(corners[:, 0]), 1
    for d in range(corners.shape[1]):
        if stride > rows:
            break
        number = number + corners[:, d] * stride
        stride *= side
    if kind == "hashgrid" and stride > rows:
        number = torch.zeros_like(number)
        for d in range(corners.shape[1]):
            number = number ^ (corners[:, d] * _PRIMES[d] & 0xFFFFFFFF)
    return number % rows
