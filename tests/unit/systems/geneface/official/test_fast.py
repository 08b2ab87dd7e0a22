"""The fast head against the plain one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from talkingface.nn.packed_linear import packed_linear
from talkingface.nn.ray_march import morton_cells, pack_bits
from talkingface.systems.geneface.config import tiny_official
from talkingface.systems.geneface.official.camera import Intrinsics, field_pose, pixel_rays
from talkingface.systems.geneface.official.fast import BLOCK, FastHead
from talkingface.systems.geneface.official.radnerf import HeadField
from talkingface.systems.geneface.official.render import see_head

SIDE = 64


def make_field(density: float = 0.0, **changes) -> HeadField:
    """A ball of random contents; `density` makes it opaque."""
    torch.manual_seed(0)
    field = HeadField(replace(tiny_official().renderer, codes=2, **changes)).eval().requires_grad_(False)
    for grid in (field.position_embedder, field.ambient_embedder):
        grid.embeddings.uniform_(-0.5, 0.5)
    for network in (field.ambient_net, field.sigma_net, field.color_net):
        for layer in network.net:
            nn.init.kaiming_normal_(layer.weight)
    field.sigma_net.net[-1].weight[0] += density
    cells = (2 * morton_cells(field.config.side).float() + 1) / field.config.side - 1
    field.density_bitfield.copy_(pack_bits(cells.square().sum(-1) < 0.16))
    return field


def rays():
    camera = np.eye(4)
    camera[:3, 3] = (0.02, 0.01, 0.7)
    view = Intrinsics(height=SIDE, width=SIDE, fx=150, fy=150, cx=SIDE / 2, cy=SIDE / 2)
    return pixel_rays(torch.from_numpy(field_pose(camera[None])[0]).float(), view)


@pytest.mark.parametrize("density", [0.0, 3.0])
@pytest.mark.parametrize("changes", [{}, {"grid_kind": "hashgrid"}, {"sigma_layers": 2, "color_layers": 3}])
@torch.no_grad()
def test_it_sees_what_the_plain_one_sees(density, changes):
    field = make_field(density, **changes)
    condition, code = torch.randn(field.config.condition), field.individual_embeddings[1]
    plain = see_head(field, rays(), condition, code)
    assert (plain.opacity > 0.2).sum() > 300 and (plain.rgb > 0.1).any()
    fast = FastHead(field).see(rays(), condition, code)
    for name, most in (("rgb", 1e-3), ("opacity", 1e-4), ("depth", 1e-4)):
        assert (getattr(plain, name) - getattr(fast, name)).abs().max() < most
    few = FastHead(field).see(rays(), condition, code, 2)
    assert (few.opacity - see_head(field, rays(), condition, code, 2).opacity).abs().max() < 1e-4


@torch.no_grad()
def test_half_precision_is_near():
    field = make_field()
    condition, code = torch.randn(field.config.condition), field.individual_embeddings[0]
    plain, fast = (FastHead(field, dtype).see(rays(), condition, code) for dtype in (torch.float32, torch.bfloat16))
    assert (plain.rgb - fast.rgb).abs().mean() < 5e-3


@torch.no_grad()
def test_rays_that_see_nothing():
    field = make_field()
    field.density_bitfield.zero_()
    made = FastHead(field).see(rays(), torch.randn(field.config.condition), field.individual_embeddings[0])
    assert not made.rgb.any() and not made.opacity.any()


@pytest.mark.parametrize("rows", [1, 7, BLOCK])
@pytest.mark.parametrize("relu", [False, True])
def test_packed_layers(rows, relu):
    weight, bias, x = torch.randn(5, 6), torch.randn(5), torch.randn(rows, 6)
    expected = torch.nn.functional.linear(x, weight, bias)
    found = packed_linear(weight, bias, relu=relu)(x)
    assert torch.allclose(found, expected.relu() if relu else expected, atol=1e-5)
    kept = x.clone()
    packed_linear(weight, relu=relu)(x)
    assert torch.equal(x, kept)
