"""The blocks of a small convolutional U-Net: plain convolutions and ReLU, which CPUs run fastest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvBlock(nn.Module):
    """Two 3x3 convolutions around ReLU, added to the input: [B, in, H, W] -> [B, out, H, W].

    It starts as the identity (or a 1x1 projection), so that deep stacks train without normalisation layers.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.skip = nn.Identity() if in_channels == out_channels else Pointwise(in_channels, out_channels)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.second(functional.relu(self.first(functional.relu(x)), inplace=True))


class Down(nn.Conv2d):
    """Half the size: each 2x2 square becomes one pixel of `out_channels`. Height and width must be even."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=2, stride=2)


class Pointwise(nn.Conv2d):
    """1x1 convolution as a matrix product over channels, which is what it is: several times faster on CPUs."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


class Up(nn.Module):
    """Twice the size by a 1x1 convolution and a pixel shuffle: [B, in, H, W] -> [B, out, 2H, 2W].

    The four convolutions of a square start equal (ICNR), so that no checkerboard is there to be unlearned.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.mix = Pointwise(in_channels, 4 * out_channels, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(self.mix.weight[:out_channels].repeat_interleave(4, 0))

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.mix(x), 2)
