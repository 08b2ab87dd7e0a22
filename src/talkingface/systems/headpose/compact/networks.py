"""The compact network: the original's colour and attention heads on a U-Net of 0.46 million parameters.

It sees one composite, not three: warped pixels move steadily, where the original rendered a model anew for each frame.
It has no memory of identities, because its weights belong to one person.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.blocks import ConvBlock, Down, Up


@dataclass(frozen=True, slots=True)
class RendererOutput:
    """`colour` [B, 3, S, S] and `mask` [B, 1, S, S] in [0, 1]; where the mask is 1 the composite stays."""

    colour: Tensor
    mask: Tensor

    def over(self, composite: Tensor) -> Tensor:
        """The finished picture [B, 3, S, S]."""
        return self.mask * composite + (1 - self.mask) * self.colour


class CompactUNet(nn.Module):
    """Composite [B, 3, S, S] in [0, 1] -> colour and mask; S a multiple of 16.

    `widths`: channels at S, S/2, S/4, S/8, S/16.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 24, 48, 64, 64)) -> None:
        super().__init__()
        fine, *coarse = widths
        self.enter = nn.Conv2d(12, coarse[0], 3, padding=1)
        self.down = nn.ModuleList(Down(a, b) for a, b in itertools.pairwise(coarse))
        self.encode = nn.ModuleList(ConvBlock(w, w) for w in coarse)
        self.middle = ConvBlock(coarse[-1], coarse[-1])
        self.up = nn.ModuleList(Up(b, a) for a, b in itertools.pairwise(coarse))
        self.decode = nn.ModuleList(ConvBlock(w, w) for w in coarse[:-1])
        self.finest = Up(coarse[0], fine)
        self.blend = nn.Conv2d(fine + 3, fine, 3, padding=1)
        self.heads = nn.Conv2d(fine, 4, 3, padding=1)
        assert self.heads.bias is not None
        nn.init.zeros_(self.heads.bias)

    def forward(self, composite: Tensor) -> RendererOutput:
        x = functional.relu(self.enter(functional.pixel_unshuffle(composite * 2 - 1, 2)))
        skips: list[Tensor] = []
        for level, block in enumerate(self.encode):
            x = block(x if level == 0 else self.down[level - 1](x))
            skips.append(x)
        x = self.middle(x)
        for level in reversed(range(len(self.decode))):
            x = self.decode[level](self.up[level](x) + skips[level])
        x = torch.cat([functional.relu(self.finest(x)), composite * 2 - 1], dim=1)
        x = self.heads(functional.relu(self.blend(x)))
        x = x.float()  # in half precision a mask near 1 has no gradient
        return RendererOutput(colour=torch.sigmoid(x[:, :3]), mask=torch.sigmoid(x[:, 3:]))
