"""The generator of PC-AVS: StyleGAN2's, but its first feature map is the identity's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from talkingface.systems.pcavs.official.networks.style_layers import (
    EqualLinear,
    ModulatedConv,
    PixelNorm,
    StyledConv,
    Upsample,
)

Noise = Literal["random", "stored", "none"] | Sequence[Tensor]
"""Fresh maps for each call, the ones kept with the weights, none, or maps [B or 1, 1, side, side] given one by one."""
MAPPING_LR = 0.01
_FULL, _FULL_UP_TO = 512, {7: 28, 4: 32}


def channels_at(side: int, start: int, *, multiplier: int = 2, most: int = _FULL) -> int:
    """Channels of the feature maps of a size: 512 up to 28 pixels (32 from a start of 4), then `multiplier` times 512,
    halved with each doubling, but never more than 512 or `most`.

    Example: `channels_at(224, 7)` is 128.
    """
    ratio = side // _FULL_UP_TO[start]
    return min(most, _FULL, _FULL * multiplier // ratio if ratio > 1 else _FULL)


class ConstantInput(nn.Module):
    """The learned first map [1, C, side, side], for use without an identity map."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, side, side))


class ToRgb(nn.Module):
    """Modulated 1x1 convolution to RGB, not demodulated, added to the picture so far at twice its size."""

    def __init__(self, channels: int, style: int, *, up: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if up:
            self.upsample = Upsample()
        self.conv = ModulatedConv(channels, 3, 1, style, demodulate=False)

    def forward(self, x: Tensor, style: Tensor, picture: Tensor | None = None) -> Tensor:
        out = self.conv(x, style) + self.bias
        return out if picture is None else out + self.upsample(picture)


class Generator(nn.Module):
    """Style [B, style] and identity map [B, C, start, start] -> picture [B, 3, crop_px, crop_px] in (-1, 1).

    Sizes divisible by 7 start at 7x7 pixels, others (powers of two) at 4x4; see `channels_at` for the widths.
    `mapping`: layers of the mapping network, which PC-AVS never uses but publishes (0: none). `constant` keeps the
    learned first map for use without an identity map.
    """

    def __init__(
        self,
        *,
        crop_px: int = 224,
        style: int = 2560,
        mapping: int = 8,
        multiplier: int = 2,
        most_channels: int = _FULL,
        constant: bool = True,
    ) -> None:
        super().__init__()
        self.start = 7 if crop_px % 7 == 0 else 4
        doublings = (crop_px // self.start).bit_length() - 1
        if self.start << doublings != crop_px or not doublings:
            raise ValueError(f"the picture must have 7 or 4 times a power of two pixels a side, not {crop_px}")
        self.crop_px, self.style_size = crop_px, style
        widths = [
            channels_at(self.start << k, self.start, multiplier=multiplier, most=most_channels)
            for k in range(doublings + 1)
        ]
        self.style = _mapping_network(style, mapping)
        self.input = ConstantInput(widths[0], self.start) if constant else None
        self.conv1 = StyledConv(widths[0], widths[0], style)
        self.to_rgb1 = ToRgb(widths[0], style, up=False)
        # names and order of the published state dict
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        for before, width in itertools.pairwise(widths):
            self.convs.append(StyledConv(before, width, style, up=True))
            self.convs.append(StyledConv(width, width, style))
            self.to_rgbs.append(ToRgb(width, style))
        # two layers a size; the first size has one
        self.noise_sides = [self.start << ((k + 1) // 2) for k in range(2 * doublings + 1)]
        for k, side in enumerate(self.noise_sides):
            self.noises.register_buffer(f"noise_{k}", torch.randn(1, 1, side, side))
        self.num_slots = 2 * doublings + 2

    def slots(self, style: Tensor, second: Tensor | None = None, first_slots: int = 0) -> Tensor:
        """A style for each layer [B, num_slots, style]: one [B, style] for all, or mixed with a `second` one, which
        takes over after `first_slots`."""
        repeated = style[:, None].expand(-1, self.num_slots, -1)
        if second is None:
            return repeated
        return torch.cat([repeated[:, :first_slots], second[:, None].expand(-1, self.num_slots - first_slots, -1)], 1)

    def noise_maps(self, noise: Noise, batch: int) -> list[Tensor | None]:
        """The map of each layer, see `Noise`."""
        if noise == "none":
            return [None] * len(self.noise_sides)
        if noise == "stored":
            return [self.noises.get_buffer(f"noise_{k}") for k in range(len(self.noise_sides))]
        if noise == "random":
            like = self.noises.get_buffer("noise_0")
            sides = self.noise_sides
            return [torch.randn(batch, 1, side, side, device=like.device, dtype=like.dtype) for side in sides]
        assert not isinstance(noise, str)
        if len(noise) != len(self.noise_sides):
            raise ValueError(f"the generator needs {len(self.noise_sides)} maps of noise, not {len(noise)}")
        return list(noise)

    def first_map(self, identity: Tensor | None, batch: int) -> Tensor:
        """The first feature map: the identity's, or without one the learned constant. Raises ValueError if neither."""
        if identity is not None:
            return identity
        if self.input is None:
            raise ValueError("this generator keeps no constant first map; give an identity map")
        return self.input.input.expand(batch, -1, -1, -1)

    def before_tanh(self, style: Tensor, identity: Tensor | None = None, noise: Noise = "random") -> Tensor:
        """The sum of the RGB heads, before the last tanh. `style` as in `forward`."""
        slots = self.slots(style) if style.ndim == 2 else style
        maps = self.noise_maps(noise, len(slots))
        x = self.conv1(self.first_map(identity, len(slots)), slots[:, 0], maps[0])
        picture = self.to_rgb1(x, slots[:, 1])
        for k, to_rgb in enumerate(self.to_rgbs):
            for i in (2 * k, 2 * k + 1):
                x = self.convs[i](x, slots[:, i + 1], maps[i + 1])
            picture = to_rgb(x, slots[:, 2 * k + 3], picture)
        return picture

    def forward(self, style: Tensor, identity: Tensor | None = None, noise: Noise = "random") -> Tensor:
        """`style` [B, style], or one for each layer [B, num_slots, style] (see `slots`)."""
        return torch.tanh(self.before_tanh(style, identity, noise))


def truncated(style: Tensor, towards: Tensor, amount: float) -> Tensor:
    """A style brought nearer to another: 1 keeps it, 0 gives the other."""
    return towards + amount * (style - towards)


def _mapping_network(style: int, layers: int) -> nn.Sequential | None:
    if not layers:
        return None
    linear = [EqualLinear(style, style, lr_factor=MAPPING_LR, activate=True) for _ in range(layers)]
    return nn.Sequential(PixelNorm(), *linear)
