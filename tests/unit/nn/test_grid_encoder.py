"""The compiled grid beside the plain one, and what both promise."""

from __future__ import annotations

import copy

import pytest
import torch

from talkingface.nn.grid_encoder import INTERPOLATIONS, KINDS, GridEncoder

LARGE, SMALL = {"finest": 512, "log2_rows": 16}, {"finest": 128, "log2_rows": 10, "levels": 8}


def encoder(dimensions: int, **options) -> GridEncoder:
    torch.manual_seed(0)
    made = GridEncoder(dimensions, **options)
    torch.nn.init.normal_(made.embeddings)
    return made


def points(dimensions: int, count: int = 400) -> torch.Tensor:
    """Some are outside, some on the faces."""
    made = torch.rand(count, dimensions, generator=torch.Generator().manual_seed(1)) * 2.04 - 1.02
    made[0], made[1], made[2] = -1, 1, 0
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("options", [LARGE, SMALL], ids=["large", "small"])
def test_kernels_agree_with_the_plain_form(dimensions, interpolation, kind, options):
    grid = encoder(dimensions, kind=kind, interpolation=interpolation, **options)
    sent = torch.randn(400, grid.num_features, generator=torch.Generator().manual_seed(2))
    found = []
    for encode in (grid.forward, grid.encode_plain):
        x = points(dimensions).requires_grad_()
        encoded = encode(x)
        (encoded * sent).sum().backward()
        found.append((encoded.detach(), x.grad, grid.embeddings.grad))
        grid.embeddings.grad = None
    for ours, plain in zip(*found, strict=True):
        assert ours is not None and plain is not None
        assert (ours - plain).abs().max() < 1e-3 * plain.abs().max()


def test_points_outside_have_no_features_and_send_nothing_back():
    grid = encoder(3, **SMALL)
    x = torch.tensor(
        [[1.01, 0.0, 0.0], [0.0, -1.5, 0.0], [float("nan"), 0.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True
    )
    encoded = grid(x)
    assert (encoded[:3] == 0).all() and (encoded[3] != 0).all()
    encoded.sum().backward()
    assert x.grad is not None and (x.grad[:3] == 0).all()


def test_frozen_points_cost_no_gradient():
    grid = encoder(3, **SMALL)
    grid(points(3)).sum().backward()
    assert grid.embeddings.grad is not None
    with torch.no_grad():
        assert not grid(points(3)).requires_grad


def test_copies_and_other_kinds_of_numbers():
    grid = encoder(2, **SMALL)
    twin = copy.deepcopy(grid)
    assert torch.equal(twin(points(2)), grid(points(2)))
    exact = copy.deepcopy(grid).double()(points(2).double())
    assert exact.dtype == torch.float64
    assert (exact - grid(points(2))).abs().max() < 1e-3
    assert grid(points(2)[:0]).shape == (0, grid.num_features)
    with pytest.raises(ValueError, match="hashgrid"):
        GridEncoder(kind="octree")
