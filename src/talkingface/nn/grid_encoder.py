"""Multi-resolution grids of learned features (Mueller et al. 2022): a point's features, interpolated on every level.

The plain form looks up the corners of a point's cell on each level and mixes them; its gradients are torch's own. On
processors compiled kernels (`grid_encoder_numba.py`) do the same several times as fast.

Two ways to number the cells of levels that have more corners than rows: "hashgrid" mixes the coordinates' bits,
"tiledgrid" wraps the usual numbering, which there leaves out the coordinates whose stride is past the table.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.nn import grid_encoder_numba as kernels

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
        strides = [[side**d if side**d <= rows else 0 for d in range(dimensions)] for side, rows in self._tables()]
        wraps = [side**dimensions > rows for side, rows in self._tables()]
        self._kernel_scales = np.array(self.scales, np.float32)
        self._kernel_levels = np.array(
            [
                [start, *(stride + [0] * (3 - dimensions)), rows - 1 if wrap else -1, wrap and kind == "hashgrid"]
                for start, stride, rows, wrap in zip(offsets, strides, self.rows, wraps, strict=False)
            ],
            np.int64,
        )

    @property
    def num_features(self) -> int:
        """Width of the output."""
        return len(self.rows) * self.embeddings.shape[1]

    def _tables(self) -> list[tuple[int, int]]:
        return list(zip(self.sides, self.rows, strict=True))

    def forward(self, points: Tensor) -> Tensor:
        single = points.dtype == self.embeddings.dtype == torch.float32
        if single and points.device.type == "cpu" and 2 <= self.dimensions <= 3 and self.embeddings.shape[1] == 2:
            encoded = _Compiled.apply(points, self.embeddings, self)
            assert isinstance(encoded, Tensor)
            return encoded
        return self.encode_plain(points)

    def encode_into(self, points: Tensor, rows: Tensor, first: int = 0) -> None:
        """Write the features of points float32 [N, D] on a processor into `rows` float32 [N, C], from column `first`
        on, with the compiled kernels and without gradients."""
        encode = kernels.encode_3d if self.dimensions == 3 else kernels.encode_2d
        encode(points.contiguous().numpy(), *_tables_of(self, self.embeddings), rows.numpy(), first)

    def encode_plain(self, points: Tensor) -> Tensor:
        """The plain form, which `forward` is tested against."""
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
            # its gradients are added up in any order; those of plain indexing are sorted first, which takes far longer
            found = table.index_select(0, grid_rows(at, side, len(table), self.kind))
            mixed = mixed + weight[:, None] * found.to(unit.dtype)
        return mixed


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, encoder: GridEncoder) -> Tensor:  # type: ignore[override]
        points = points.detach().contiguous()
        ctx.save_for_backward(points, table)
        ctx.encoder = encoder
        encoded = torch.empty(len(points), encoder.num_features)
        encoder.encode_into(points, encoded)
        return encoded

    @staticmethod
    def backward(ctx: Any, sent: Tensor) -> tuple[Tensor | None, Tensor, None]:  # type: ignore[override]
        points, table = ctx.saved_tensors
        encoder: GridEncoder = ctx.encoder
        to_table = torch.zeros_like(table)
        to_points = torch.zeros_like(points) if ctx.needs_input_grad[0] else points.new_zeros(0, points.shape[1])
        send = kernels.gradients_3d if encoder.dimensions == 3 else kernels.gradients_2d
        given = (points.numpy(), *_tables_of(encoder, table), sent.contiguous().numpy())
        send(*given, to_table.numpy(), to_points.numpy())
        return to_points if ctx.needs_input_grad[0] else None, to_table, None


def _tables_of(encoder: GridEncoder, table: Tensor) -> tuple[Any, ...]:
    smooth = encoder.interpolation == "smoothstep"
    return table.detach().numpy(), encoder._kernel_scales, encoder._kernel_levels, smooth


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
