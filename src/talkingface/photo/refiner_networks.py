"""The refiner: two small U-Nets that correct the warped photo.

`FaceNet` takes the whole face at half scale and gives, per pixel, how much of the resting photo shows through
(where the warp moved what did not move; never at the mouth) and what colour to add (light, shadow, lids). `MouthNet`
takes the mouth at one and a half times the scale, with the inside of an open mouth in place (see `photo.mouth`), and
shades it: teeth in the shadow of the lip, tongue, the meeting lips.

The changes are affine, out = in + share * (photo - in) + colour, so that they can be enlarged and applied at the
photo's own resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from talkingface.nn.unet import UNet
from talkingface.photo.config import RefinerConfig

FACE_INPUTS = 9  # warped rgb, resting rgb, person, eye openings, mouth opening
MOUTH_INPUTS = 6  # rgb with the inside of the mouth in place, mouth opening, upper and lower half of the inside


class FaceNet(nn.Module):
    """[B, 9, S, S] in [0, 1] -> share of the resting photo [B, 1, S, S] in [0, 1] and added colour [B, 3, S, S]."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.net = UNet(FACE_INPUTS, 4, 4, config.face_widths)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(x)
        return torch.sigmoid(out[:, :1] - 3), out[:, 1:]


class MouthNet(nn.Module):
    """[B, 6, h, w] in [0, 1] -> colour [B, 3, h, w] to add to the lips, and shade [B, 1, h, w] of what lies behind them
    (see `refine.shaded`)."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.net = UNet(MOUTH_INPUTS, 4, 3, config.mouth_widths)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
