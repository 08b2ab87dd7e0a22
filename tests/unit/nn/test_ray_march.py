"""Samples along rays: the compiled search beside the plain one, boxes, and what composites promise."""

from __future__ import annotations

import pytest
import torch

from talkingface.nn import ray_march
from talkingface.nn.ray_march import FAR, box_range, composite, grid_side, march, morton_cells, morton_code

BOX = torch.tensor([-1.0, -0.5, -1.0, 1.0, 0.5, 1.0])


def scene(side: int = 32, rays: int = 300) -> tuple[torch.Tensor, ...]:
    """Rays from in front of a ball that fills some of the grid; some miss, two run along an axis."""
    drawn = torch.Generator().manual_seed(3)
    origins = torch.randn(rays, 3, generator=drawn) * 0.2
    origins[:, 2] -= 2.5
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, generator=drawn) * 0.4 - origins, dim=-1)
    directions[0], origins[0] = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.01, 0.02, -2.0])
    directions[1], origins[1] = torch.tensor([0.0, 0.0, -1.0]), torch.tensor([0.01, 0.02, -2.0])
    places = 2 * (morton_cells(side) + 0.5) / side - 1
    return origins, directions, (places.square().sum(-1) < 0.3)


@pytest.mark.parametrize("side", [16, 64])
@pytest.mark.parametrize("steps", [3, 16])
def test_the_kernel_finds_what_the_plain_form_finds(side, steps):
    origins, directions, occupied = scene(side)
    near, far = box_range(origins, directions, BOX, 0.05)
    given = (origins, directions, near, far, occupied, steps)
    found, counts, stopped = ray_march._find_compiled(*given)
    plain, plain_counts, plain_stopped = ray_march._find(*given)
    same = counts == plain_counts  # rounding decides at the faces of cells
    assert same.float().mean() > 0.98 and counts.max() >= min(steps, side // 4)
    inside = (torch.arange(steps) < counts[:, None]) & same[:, None]
    assert (found - plain)[inside].abs().max() < 1e-4
    hit = same & (near < FAR)
    assert (stopped - plain_stopped)[hit].abs().max() < 1e-3


def test_samples_lie_in_occupied_cells_in_the_order_of_their_rays():
    origins, directions, occupied = scene()
    near, far = box_range(origins, directions, BOX, 0.05)
    samples, _ = march(origins, directions, near, far, occupied, 16)
    cells = (0.5 * (samples.points + 1) * grid_side(occupied)).clamp(0, 31).long()
    assert occupied[morton_code(cells)].float().mean() > 0.995
    assert torch.equal(samples.rays, samples.rays.sort().values)
    assert torch.equal(torch.bincount(samples.rays, minlength=len(origins)), samples.counts)
    assert samples.counts[1] == 0  # looks away
    assert (samples.counts[near == FAR] == 0).all() and (near == FAR).any()
    first, stopped = march(origins, directions, near, far, occupied, 4)
    rest, _ = march(origins, directions, stopped, far, occupied, 12)
    assert torch.equal(first.counts + rest.counts, samples.counts) and int(rest.counts.sum()) > 0


def test_no_rays_and_no_steps():
    origins, directions, occupied = scene()
    near, far = box_range(origins, directions, BOX, 0.05)
    samples, stopped = march(origins, directions, near, far, occupied, 0)
    assert len(samples.ends) == 0 and torch.equal(stopped, near)
    samples, _ = march(origins[:0], directions[:0], near[:0], far[:0], occupied, 16)
    assert len(samples.points) == 0
    made = composite(samples, torch.zeros(0), torch.zeros(0, 3), torch.zeros(0))
    assert made.image.shape == (0, 3)


def test_opaque_samples_hide_what_is_behind():
    origins, directions, occupied = scene()
    near, far = box_range(origins, directions, BOX, 0.05)
    samples, _ = march(origins, directions, near, far, occupied, 16)
    sigma = torch.full_like(samples.ends, 1e4).requires_grad_()
    colours = torch.rand(len(sigma), 3, generator=torch.Generator().manual_seed(4))
    made = composite(samples, sigma, colours, torch.ones_like(samples.ends))
    hit = samples.counts > 0
    first = samples.places == 0
    assert torch.allclose(made.image[hit], colours[first])
    assert torch.allclose(made.weights_sum[hit], torch.ones(int(hit.sum())))
    assert (made.weights_sum[~hit] == 0).all()
    made.image.sum().backward()
    assert sigma.grad is not None and (sigma.grad[~first] == 0).all()
