"""D: patch discriminators at two scales, spectrally normalised (as in pix2pixHD and SPADE)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

Outputs = list[list[Tensor]]
"""For each scale: the picture itself, the features of each layer, the scores."""
_KERNEL, _PADDING = 4, 2


class ScaleDiscriminator(nn.Module):
    """One scale: pictures [B, 3, H, W] -> picture, features, and scores [B, 1, h, w]."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        first = nn.Conv2d(3, width, _KERNEL, stride=2, padding=_PADDING)
        self.model0 = nn.Sequential(first, nn.LeakyReLU(0.2))
        for k in range(1, layers):
            after = min(8, 2**k) * width
            conv = nn.Conv2d(
                min(8, 2 ** (k - 1)) * width,
                after,
                _KERNEL,
                stride=1 if k == layers - 1 else 2,
                padding=_PADDING,
                bias=False,
            )
            normed = nn.Sequential(spectral_norm(conv), nn.InstanceNorm2d(after))
            self.add_module(f"model{k}", nn.Sequential(normed, nn.LeakyReLU(0.2)))
        last = nn.Conv2d(min(8, 2 ** (layers - 1)) * width, 1, _KERNEL, padding=_PADDING)
        self.add_module(f"model{layers}", nn.Sequential(last))
        self.layers = layers

    def forward(self, x: Tensor) -> list[Tensor]:
        # the picture comes first: feature matching takes it for the pixel loss
        found = [x]
        for k in range(self.layers + 1):
            found.append(self.get_submodule(f"model{k}")(found[-1]))
        return found


class Discriminator(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] -> `Outputs`; each further scale works on half the size."""

    def __init__(self, *, width: int = 64, layers: int = 4, scales: int = 2) -> None:
        super().__init__()
        self.scales = scales
        for k in range(scales):
            self.add_module(f"discriminator_{k}", ScaleDiscriminator(width, layers))

    def forward(self, pictures: Tensor) -> Outputs:
        outputs = []
        for k in range(self.scales):
            outputs.append(self.get_submodule(f"discriminator_{k}")(pictures))
            pictures = functional.avg_pool2d(pictures, 3, stride=2, padding=1, count_include_pad=False)
        return outputs
