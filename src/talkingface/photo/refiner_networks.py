"""The refiner: two small U-Nets that correct the warped photo.

`FaceNet` takes the whole face at half scale and gives, per pixel, how much of the resting photo shows through
(where the warp moved what did not move; never at the mouth) and what colour to add (light, shadow, lids). `MouthNet`
takes the mouth at full scale and adds what no photo contains: the inside of the mouth, teeth, the meeting lips.

Both give an affine change of the picture, out = in + share * (photo - in) + colour, so that the change can be
enlarged and applied at the photo's own resolution.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.blocks import ConvBlock, Down, Pointwise, Up
from talkingface.photo.config import RefinerConfig

FACE_INPUTS = 9  # warped rgb, resting rgb, person, eye openings, mouth opening
MOUTH_INPUTS = 8  # refined rgb, mouth opening, the photo's own mouth rgb and opening


class _UNet(nn.Module):
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


class FaceNet(nn.Module):
    """[B, 9, S, S] in [0, 1] -> share of the resting photo [B, 1, S, S] in [0, 1] and added colour [B, 3, S, S]."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.net = _UNet(FACE_INPUTS, 4, 4, config.face_widths)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(x)
        return torch.sigmoid(out[:, :1] - 3), out[:, 1:]


class MouthNet(nn.Module):
    """[B, 8, h, w] in [0, 1] -> colour [B, 3, h, w] to add to the mouth patch."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.net = _UNet(MOUTH_INPUTS, 3, 2, config.mouth_widths)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
