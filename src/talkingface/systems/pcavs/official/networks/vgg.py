"""Perceptual losses of VGG-19: of ImageNet's, and of a face recognition network with batch normalisation.

The weights are other people's and optional; without them training leaves these losses out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Published weights of the five levels."""
_VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)
_PREFIX = re.compile(r"^(?:module\.)?(?:model\.)?(?:features\.|slice\d+\.)(\d+\.\w+)$")
_T = TypeVar("_T")


class VggMaps(nn.Module):
    """Feature maps of pictures [B, 3, H, W] in [-1, 1], taken as they are: after `ends` layers, counted as torchvision
    does. Frozen."""

    def __init__(self, ends: Sequence[int], *, normalised: bool, widths: Sequence[int] = _VGG19) -> None:
        super().__init__()
        self.ends = tuple(ends)
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            if width:
                layers.append(nn.Conv2d(before, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if normalised else []
                layers.append(nn.ReLU())
                before = width
            else:
                layers.append(nn.MaxPool2d(2, 2))
        # pictures stay in [-1, 1], without ImageNet's statistics, as published
        self.features = nn.Sequential(*layers[: max(self.ends)])
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = {}
        for k, layer in enumerate(self.features, 1):
            x = layer(x)
            if k in self.ends:
                maps[k] = x
        return [maps[end] for end in self.ends]


def vgg19() -> VggMaps:
    """ImageNet's VGG-19 up to relu5_1: five maps."""
    return VggMaps((2, 7, 12, 21, 30), normalised=False)


def vgg_face() -> VggMaps:
    """The face network's five levels; the last map counts twice, as published.

    The first is taken one layer later than it is listed as (12): the ReLU that follows works in place there.
    """
    return VggMaps((13, 21, 30, 53, 53), normalised=True)


def maps_distance(maps: VggMaps, made: Tensor, wanted: Tensor, first: int = 0) -> Tensor:
    """Weighted mean L1 distances of the maps of two pictures, levels from `first` on; no gradient to `wanted`.

    Published: first = 0 with `vgg19`, 2 with `vgg_face`.
    """
    with torch.no_grad():
        targets = maps(wanted)
    pairs = list(zip(WEIGHTS, maps(made), targets, strict=True))[first:]
    return torch.stack([weight * functional.l1_loss(ours, theirs) for weight, ours, theirs in pairs]).sum()


def vgg_names(state: Mapping[str, _T]) -> dict[str, _T]:
    """A state dict of torchvision's VGG, of the face network, or cut into slices, under the names of `VggMaps`; other
    tensors are left out."""
    return {f"features.{found[1]}": value for name, value in state.items() if (found := _PREFIX.match(name))}
