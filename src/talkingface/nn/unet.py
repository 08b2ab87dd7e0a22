"""A small U-Net of plain convolutions; `nn.unet_cpu` runs it on a CPU without torch."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.blocks import ConvBlock, Down, Pointwise, Up


class UNet(nn.Module):
    """Three scales on a picture whose pixels were folded into channels by `fold`: [B, in, H, W] -> [B, out, H, W]."""

    def __init__(self, inputs: int, outputs: int, fold: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.fold = fold
        self.enter = Pointwise(inputs * fold**2, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(near, near), Down(near, far)) for near, far in itertools.pairwise(widths)
        )
        self.middle = ConvBlock(widths[-1], widths[-1])
        self.up = nn.ModuleList(Up(far, near) for near, far in itertools.pairwise(widths))
        self.merge = nn.ModuleList(ConvBlock(near, near) for near in widths[:-1])
        self.leave = Pointwise(widths[0], outputs * fold**2)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        # a strided convolution is what folding pixels into channels and mixing them comes to, without moving them
        kernel = self.enter.weight.view(self.enter.out_channels, -1, self.fold, self.fold)
        x = functional.conv2d(x, kernel, self.enter.bias, stride=self.fold)
        passed = []
        for down in self.down:
            x = down[0](x)  # type: ignore[index]
            passed.append(x)
            x = down[1](x)  # type: ignore[index]
        x = self.middle(x)
        for up, merge, before in zip(reversed(self.up), reversed(self.merge), reversed(passed), strict=True):
            x = merge(up(x) + before)
        return functional.pixel_shuffle(self.leave(functional.relu(x)).contiguous(), self.fold)
