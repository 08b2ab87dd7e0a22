"""The patch discriminator of pix2pix (Isola et al., arXiv 1611.07004) with the published names.

`nn.gan.PatchDiscriminator` is another network: spectrally normalised, without batch statistics.
"""

from __future__ import annotations

from torch import Tensor, nn


class Discriminator(nn.Module):
    """Raw scores of overlapping patches: [B, inputs, H, W] -> [B, 1, H / 8 - 2, W / 8 - 2]; 70 pixels around each.

    `inputs`: the generator's frames and the picture that is judged, on top of each other. The original always runs it
    in training mode, with the batch statistics of one picture; keep it there where its scores matter.

    Example: `scores = Discriminator(12)(torch.cat([frames, picture], 1))`
    """

    def __init__(self, inputs: int = 12, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        before = width
        for k in range(1, layers + 1):
            after = width * min(2**k, 8)
            stride = 2 if k < layers else 1
            parts += [nn.Conv2d(before, after, 4, stride, padding=1, bias=False), nn.BatchNorm2d(after)]
            parts += [nn.LeakyReLU(0.2)]
            before = after
        self.model = nn.Sequential(*parts, nn.Conv2d(before, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
