"""A feature network of our own, and the perceptual distance that it gives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (32, 64, 96, 112)


class FeatureNet(nn.Module):
    """Features of pictures [B, 3, H, W] in [0, 1] at 1/2, 1/4, 1/8 and 1/16 of the size (0.55 M parameters).

    Without normalisation layers: these would divide away the contrast whose loss a perceptual distance must see.
    Height and width of at least 16. Returns the four feature maps.
    """

    def __init__(self, widths: Sequence[int] = _WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        before = (3, *self.widths[:-1])
        # even kernels at stride 2 touch every pixel equally often: no checkerboard in the gradient
        self.down = nn.ModuleList(
            nn.Conv2d(b, w, 4, stride=2, padding=1) for b, w in zip(before, self.widths, strict=True)
        )
        self.refine = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for w in self.widths)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.2)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = (x - 0.5) * 4
        features = []
        for down, refine in zip(self.down, self.refine, strict=True):
            x = functional.leaky_relu(down(x), 0.2)
            x = functional.leaky_relu(x + refine(x), 0.2)
            features.append(x)
        return features


def feature_loss(net: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """Perceptual distance of `a` from `b`, pictures [B, 3, H, W] in [0, 1]; gradients reach `a` only.

    The features at each place are brought to a root mean square of one over their channels (so that all stages weigh
    the same), then the L1 distances of all stages are averaged.
    """
    with torch.no_grad():
        wanted = [_normalise(f) for f in net(b)]
    distances = [(_normalise(f) - w).abs().mean() for f, w in zip(net(a), wanted, strict=True)]
    return torch.stack(distances).mean()


def _normalise(features: Tensor) -> Tensor:
    """Root mean square of one over the channels; the floor keeps featureless places from being blown up."""
    return features * torch.rsqrt(features.float().square().mean(1, keepdim=True) + 1e-2)
