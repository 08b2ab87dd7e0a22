"""Rays through a box whose empty cells are known: samples for a radiance field, and their colours put together.

Steps are of one length, a cell's diagonal, as in the published renderer at its settings (bound 1, 16 steps).
The plain form works on all rays at once, in their own precision; single precision on a processor has a compiled kernel
(`ray_march_numba.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from talkingface.nn.ray_march_numba import find_samples

FAR = torch.finfo(torch.float32).max
"""Where rays begin and end that miss the box."""
MIN_TRANSMITTANCE = 1e-4
"""A ray that lets less light through ends."""


def step_length(side: int) -> float:
    """Length of a step in a grid of `side` cells a side over [-1, 1]^3: a cell's diagonal."""
    return 2 * math.sqrt(3) / side


def morton_code(cells: Tensor) -> Tensor:
    """Numbers int64 [...] of cells int64 [..., 3] under 1024 in Morton order: the bits of x, y, z in turn, x lowest."""
    number = torch.zeros_like(cells[..., 0])
    for bit in range(10):
        for axis in range(3):
            number = number | (cells[..., axis] >> bit & 1) << 3 * bit + axis
    return number


def morton_cells(side: int, device: torch.device | str = "cpu") -> Tensor:
    """The cells int64 [side^3, 3] of a grid in Morton order. `side` is a power of two."""
    axis = torch.arange(side, device=device)
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    ordered = torch.empty_like(cells)
    ordered[morton_code(cells)] = cells
    return ordered


def pack_bits(occupied: Tensor) -> Tensor:
    """Flags bool [8 n] -> bytes uint8 [n], the first flag in the lowest bit."""
    weights = 2 ** torch.arange(8, device=occupied.device)
    return (occupied.reshape(-1, 8) * weights).sum(-1).to(torch.uint8)


def unpack_bits(packed: Tensor) -> Tensor:
    """The inverse of `pack_bits`."""
    return (packed[:, None].long() >> torch.arange(8, device=packed.device) & 1).bool().flatten()


def dilate(grid: Tensor, side: int) -> Tensor:
    """Each cell's greatest value among itself and its six neighbours; grids [side^3] in Morton order."""
    order = morton_code(_cells_xyz(side, grid.device))
    cube = grid[order].reshape(side, side, side)
    padded = functional.pad(cube, (1, 1, 1, 1, 1, 1), value=-math.inf)
    inner = slice(1, -1)
    neighbours = [cube]
    for axis in range(3):
        for moved in (slice(None, -2), slice(2, None)):
            place = [inner] * 3
            place[axis] = moved
            neighbours.append(padded[tuple(place)])
    dilated = torch.empty_like(grid)
    dilated[order] = torch.stack(neighbours).amax(0).flatten()
    return dilated


def box_range(origins: Tensor, directions: Tensor, box: Tensor, min_near: float) -> tuple[Tensor, Tensor]:
    """Where rays [N, 3] enter and leave `box` [6] (lower and upper corner): near and far [N].

    `near` is at least `min_near`; rays that miss have `FAR` for both.
    """
    sides = (box.reshape(2, 3).to(origins)[:, None] - origins) / directions  # a division by zero gives infinities
    near = sides.amin(0).amax(-1)
    far = sides.amax(0).amin(-1)
    missed = ~(near <= far)
    near = near.clamp_min(min_near).masked_fill(missed, FAR)
    return near, far.masked_fill(missed, FAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples along N rays, ray by ray: where, how long each is, where it ends, and how many each ray has."""

    points: Tensor
    """[M, 3]."""
    lengths: Tensor
    """[M]."""
    ends: Tensor
    """[M]: distance from the ray's origin."""
    counts: Tensor
    """int64 [N]."""

    @property
    def rays(self) -> Tensor:
        """int64 [M]: the ray of each sample."""
        return torch.repeat_interleave(torch.arange(len(self.counts), device=self.counts.device), self.counts)

    @property
    def places(self) -> Tensor:
        """int64 [M]: each sample's place within its ray."""
        starts = self.counts.cumsum(0) - self.counts
        return torch.arange(len(self.ends), device=self.counts.device) - starts[self.rays]


def march(
    origins: Tensor, directions: Tensor, starts: Tensor, far: Tensor, occupied: Tensor, steps: int
) -> tuple[Samples, Tensor]:
    """Up to `steps` samples of each ray [N, 3] in occupied cells between `starts` and `far` [N].

    `occupied` bool [side^3] in Morton order over [-1, 1]^3. Also gives where each ray stopped, [N], to go on from.
    """
    step = step_length(grid_side(occupied))
    single = origins.dtype == directions.dtype == starts.dtype == far.dtype == torch.float32
    compiled = single and origins.device.type == "cpu"
    found, counts, t = (_find_compiled if compiled else _find)(origins, directions, starts, far, occupied, steps)
    rays, places = (torch.arange(steps, device=counts.device) < counts[:, None]).nonzero(as_tuple=True)
    begin = found[rays, places]
    samples = Samples(
        points=(origins[rays] + begin[:, None] * directions[rays]).clamp(-1, 1),
        lengths=torch.full_like(begin, step),
        ends=begin + step,
        counts=counts,
    )
    return samples, t


def grid_side(occupied: Tensor) -> int:
    """Cells a side of a grid of flags [side^3]."""
    return round(len(occupied) ** (1 / 3))


def _find(
    origins: Tensor, directions: Tensor, starts: Tensor, far: Tensor, occupied: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Where samples begin [N, steps], how many each ray has int64 [N], where it goes on [N]: the plain form."""
    side = grid_side(occupied)
    step = step_length(side)
    found = torch.zeros(len(origins), steps, dtype=origins.dtype, device=origins.device)
    t, counts = starts.clone(), torch.zeros(len(origins), dtype=torch.long, device=origins.device)
    alive = (t < far).nonzero()[:, 0] if steps else counts[:0]
    while len(alive):
        o, d, at = origins[alive], directions[alive], t[alive]
        points = (o + at[:, None] * d).clamp(-1, 1)
        cells = (0.5 * (points + 1) * side).clamp(0, side - 1).long()
        hit = occupied[morton_code(cells)]
        found[alive[hit], counts[alive[hit]]] = at[hit]
        counts[alive[hit]] += 1
        faces = ((cells + 0.5 + 0.5 * d.sign()) * (2 / side) - 1 - points) / d
        faces = torch.where(d == 0, math.inf, faces)
        free = (faces.amin(-1).clamp_min(0) / step).ceil().clamp_min(1)
        t[alive] = at + torch.where(hit, 1, free) * step
        alive = alive[(t[alive] < far[alive]) & (counts[alive] < steps)]
    return found, counts, t


def _find_compiled(
    origins: Tensor, directions: Tensor, starts: Tensor, far: Tensor, occupied: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    side, rays = grid_side(occupied), len(origins)
    found, counts, t = torch.empty(rays, steps), torch.empty(rays, dtype=torch.long), torch.empty(rays)
    given = (values.detach().contiguous().numpy() for values in (origins, directions, starts, far, occupied))
    find_samples(*given, side, step_length(side), found.numpy(), counts.numpy(), t.numpy())
    return found, counts, t


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """What N rays gathered."""

    image: Tensor
    """[N, 3], without what is behind."""
    weights_sum: Tensor
    """[N]: the opacity."""
    depth: Tensor
    """[N]: distances of the samples' ends, by their weights."""
    ambient: Tensor
    """[N]: the sum of the samples' ambient lengths, as they are."""


def composite(samples: Samples, sigma: Tensor, rgb: Tensor, ambient: Tensor) -> Composite:
    """Put together samples with densities [M], colours [M, 3] and ambient lengths [M].

    What lies behind the sample where a ray became opaque does not count. Gradients reach the densities from `image` and
    `weights_sum` alone.
    """
    rays, places = samples.rays, samples.places
    shape = (len(samples.counts), int(samples.counts.max()) if len(samples.counts) else 0)

    def spread(values: Tensor) -> Tensor:
        return values.new_zeros(*shape, *values.shape[1:]).index_put((rays, places), values)

    optical = spread(sigma * samples.lengths)
    through = torch.exp(-functional.pad(optical.cumsum(1), (1, 0)))
    seen = (through[:, :-1].detach() >= MIN_TRANSMITTANCE) & (
        torch.arange(shape[1], device=sigma.device) < samples.counts[:, None]
    )
    weights = torch.where(seen, through[:, :-1] * -torch.expm1(-optical), 0)
    return Composite(
        image=(weights[..., None] * spread(rgb)).sum(1),
        weights_sum=weights.sum(1),
        depth=(weights.detach() * spread(samples.ends)).sum(1),
        ambient=torch.where(seen, spread(ambient), 0).sum(1),
    )


def _cells_xyz(side: int, device: torch.device) -> Tensor:
    axis = torch.arange(side, device=device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
