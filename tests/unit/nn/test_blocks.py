from __future__ import annotations

import torch

from talkingface.nn.blocks import ConvBlock, Down, Up


def test_shapes():
    x = torch.rand(2, 6, 8, 12)
    assert ConvBlock(6, 10)(x).shape == (2, 10, 8, 12)
    assert Down(6, 10)(x).shape == (2, 10, 4, 6)
    assert Up(6, 5)(x).shape == (2, 5, 16, 24)


def test_block_starts_as_identity_and_learns():
    block, x = ConvBlock(4, 4), torch.randn(1, 4, 8, 8)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.second.weight.grad.abs().sum() > 0


def test_up_starts_without_checkerboard():
    y = Up(3, 2)(torch.randn(1, 3, 4, 4))
    squares = y.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
    assert torch.allclose(squares, squares[..., :1].expand_as(squares), atol=1e-6)
