"""LPIPS, the learned perceptual distance of Zhang et al. (2018), version 0.1, in the names of the authors' release.

Weights are not shipped. Gradients flow through it, so it serves as a training loss as well as a figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Backbone = Literal["alex", "vgg"]
CHANNELS: Mapping[str, tuple[int, ...]] = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
"""Channels of the five feature maps that are compared."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPS = 1e-10
_VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: halved by max pooling


class _Scaling(nn.Module):
    """From [-1, 1] to what the backbones were trained with."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(_SHIFT)[None, :, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale


class _Slices(nn.Module):
    """torchvision's feature layers, under their numbers there, cut into five slices that end with a ReLU."""

    def __init__(self, layers: Sequence[nn.Module], ends: Sequence[int]) -> None:
        super().__init__()
        start = 0
        for number, end in enumerate(ends, 1):
            part = nn.Sequential()
            for k in range(start, end):
                part.add_module(str(k), layers[k])
            self.add_module(f"slice{number}", part)
            start = end
        self._names = [f"slice{number}" for number in range(1, len(ends) + 1)]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for name in self._names:
            x = self.get_submodule(name)(x)
            maps.append(x)
        return maps


class _Weighted(nn.Module):
    """A weight, not negative in the release, for the squared difference of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Lpips(nn.Module):
    """Distance of pictures [B, 3, H, W] in [-1, 1] (at least 35 pixels a side): [B, 1, 1, 1], 0 for equal ones.

    The features at each place are scaled to length one; their squared differences, weighted by channel, are averaged
    over the places and summed over five depths. `backbone`: "alex" is the authors' choice for measuring, "vgg" the
    nearer to older perceptual losses.
    """

    def __init__(self, backbone: Backbone = "alex") -> None:
        super().__init__()
        self.backbone = backbone
        self.scaling_layer = _Scaling()
        self.net = _Slices(*(_alex_layers() if backbone == "alex" else _vgg_layers()))
        for number, channels in enumerate(CHANNELS[backbone]):
            self.add_module(f"lin{number}", _Weighted(channels))
        self.eval()
        self.requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:
        """The five feature maps of pictures."""
        return self.net(self.scaling_layer(x))

    def by_layer(self, a: Tensor, b: Tensor) -> Tensor:
        """The distances by depth [B, 5], whose sum is the distance."""
        distances = []
        for number, (one, other) in enumerate(zip(self.features(a), self.features(b), strict=True)):
            squares = (_unit(one) - _unit(other)).square()
            distances.append(self.get_submodule(f"lin{number}")(squares).mean((2, 3)))
        return torch.cat(distances, dim=1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.by_layer(a, b).sum(1)[:, None, None, None]


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + _EPS)


def _alex_layers() -> tuple[list[nn.Module], tuple[int, ...]]:
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    ]  # fmt: skip
    return layers, (2, 5, 8, 10, 12)


def _vgg_layers() -> tuple[list[nn.Module], tuple[int, ...]]:
    layers: list[nn.Module] = []
    ends, before = [], 3
    for channels in _VGG:
        if channels:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        else:
            ends.append(len(layers))
            layers.append(nn.MaxPool2d(2, 2))
    return layers, (*ends, len(layers))
