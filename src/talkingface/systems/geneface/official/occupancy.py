"""Where a field may have anything, learned beside it: densities of cells, dilated, decaying, and cut at a threshold."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from talkingface.nn.ray_march import dilate, morton_cells, pack_bits
from talkingface.systems.geneface.official.camera import Intrinsics
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField

DECAY = 0.95
UNSEEN = -1.0
"""Density of cells that no training camera sees: they stay empty."""
_BLOCK = 1 << 18


def mark_unseen(field: HeadField, poses: Tensor, view: Intrinsics) -> None:
    """Give the cells that none of the field poses [T, 4, 4] can see the density `UNSEEN`."""
    side = field.config.side
    centres = _centres(side, poses)
    seen = torch.zeros(len(centres), dtype=torch.bool, device=poses.device)
    for pose in poses:
        x, y, z = ((centres - pose[:3, 3]) @ pose[:3, :3]).unbind(-1)
        margin = 2 / side
        seen |= (z > 0) & (x.abs() < view.cx / view.fx * z + margin) & (y.abs() < view.cy / view.fy * z + margin)
    field.density_grid[0, ~seen] = UNSEEN


@torch.no_grad()
def update_occupancy(field: HeadField, condition: Tensor, noise: Tensor) -> float:
    """Bring `density_grid` and `density_bitfield` up to date with one frame's condition; gives the mean density.

    `noise` [side^3, 3] in [0, 1), x slowest: where in its cell each is looked at.
    """
    side = field.config.side
    cells = morton_cells(side, noise.device)
    x, y, z = cells.unbind(-1)
    places = _centres(side, noise) + (2 * noise[(x * side + y) * side + z] - 1) / side
    looked = [field.density(block, condition)[0] for block in places.split(_BLOCK)]
    found = dilate(torch.cat(looked).to(field.density_grid), side)
    grid = field.density_grid[0]
    known = (grid >= 0) & (found >= 0)
    grid[known] = torch.maximum(grid[known] * DECAY, found[known])
    mean = float(grid.clamp_min(0).mean())
    field.density_bitfield.copy_(pack_bits(grid > min(mean, field.config.density_threshold)))
    return mean


@torch.no_grad()
def update_torso_occupancy(field: TorsoField, pose: Tensor, code: Tensor, noise: Tensor) -> float:
    """The same for the torso with one frame's pose numbers [6] and code; `noise` [side^2, 2]. Gives the mean."""
    side = field.config.side
    axis = torch.arange(side, device=noise.device)
    cells = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    places = (2 * cells.to(noise.dtype) / (side - 1) - 1) * (1 - 1 / side) + (2 * noise - 1) / side
    alpha = field.torso(places, pose, code)[0][:, 0]
    grid = alpha.reshape(side, side).T[None, None]  # a cell (a, b) is stored at b * side + a
    widened = functional.max_pool2d(grid, 5, stride=1, padding=2).flatten()
    field.density_grid_torso.copy_(torch.maximum(field.density_grid_torso * DECAY, widened))
    return float(field.density_grid_torso.mean())


def _centres(side: int, like: Tensor) -> Tensor:
    """Points [side^3, 3] in Morton order: cell corners spread over the cube, drawn in by half a cell."""
    cells = morton_cells(side, like.device).to(like.dtype)
    return (2 * cells / (side - 1) - 1) * (1 - 1 / side)
