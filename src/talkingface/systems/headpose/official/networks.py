"""The generators: three composites of render and background in, one realistic frame out (section 3.4 of the paper).

`UNetAdaIN` is drawn by an identity feature from the memory; `UNetAC` of the journal version needs none. Both paint a
colour picture and a mask that says where the last composite is good enough to stay. Names of parameters are the
published ones, less their duplicates (see `convert`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
"""What keeps the adaptive normalisation from dividing by zero."""
_MULTIPLES = (1, 2, 4, 8, 8, 8, 8, 8)  # channels of the scales over the first one's
NOISY_LEVELS = 3
"""Decoder blocks with dropout, from the innermost outwards."""


class Painted(NamedTuple):
    """What a generator gives: `colour` [B, 3, H, W] in [-1, 1], `mask` [B, 1, H, W] in [0, 1], and the frame
    `picture` = mask * last composite + (1 - mask) * colour."""

    colour: Tensor
    mask: Tensor
    picture: Tensor


def blend(colour: Tensor, mask: Tensor, frames: Tensor) -> Painted:
    """Lay the painted colour over the last of the composites `frames` [B, C, H, W], where the mask is low."""
    last = frames[:, -colour.shape[1] :]
    return Painted(colour, mask, mask * last + (1 - mask) * colour)


def check_sides(frames: Tensor, levels: int) -> None:
    """Raise ValueError unless height and width of [B, C, H, W] can be halved `levels` times."""
    if frames.shape[2] % (1 << levels) or frames.shape[3] % (1 << levels):
        raise ValueError(f"height and width must be multiples of {1 << levels}, not {list(frames.shape[2:])}")


class UNetAdaIN(nn.Module):
    """Composites t-2, t-1, t (RGB in [-1, 1], [B, 9, H, W], H and W multiples of 256) and features [B, F] -> `Painted`.

    The feature becomes, by a small network, the mean and deviation of nearly every layer. `style_hidden`: that
    network's width; None is the published one, as many as there are means and deviations (205 M parameters at `ngf`
    64, far more than it needs). `noisy`: dropout also outside training, as the published program ran: results then
    differ from run to run.

    Example: `picture = UNetAdaIN().eval()(composites, feature).picture`
    """

    def __init__(
        self,
        *,
        inputs: int = 9,
        outputs: int = 3,
        ngf: int = 64,
        feature: int = 512,
        style_hidden: int | None = None,
        noisy: bool = False,
    ) -> None:
        super().__init__()
        down = [inputs, *(ngf * m for m in _MULTIPLES)]
        up = [*reversed(down[1:-1]), ngf]
        self.depth = len(_MULTIPLES)
        self.noisy = noisy
        self.e1 = nn.Conv2d(down[0], down[1], 4, stride=2, padding=1)
        for k in range(2, self.depth + 1):
            conv = nn.Conv2d(down[k - 1], down[k], 4, stride=2, padding=1)
            self.add_module(f"e{k}", _Block(nn.LeakyReLU(0.2), conv))
        before = down[-1]
        for k, after in enumerate(up, 1):
            deconv = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
            self.add_module(f"d{k}", (_Heads if k == self.depth else _Block)(nn.ReLU(), deconv, outputs))
            before = 2 * after  # the encoder's maps are laid on
        self.styled = [
            *((f"e{k}", down[k]) for k in range(2, self.depth)),
            *((f"d{k}", n) for k, n in enumerate(up, 1)),
        ]
        """The normalised blocks and their channels, in the order in which they take numbers from the style."""
        numbers = 2 * sum(channels for _, channels in self.styled)
        self.mlp = _Mlp(feature, style_hidden or numbers, numbers)

    def style(self, feature: Tensor) -> Tensor:
        """Features [B, F] -> all means and deviations [B, S]: for each block its biases, then its scales."""
        return self.mlp(feature)

    def split_style(self, style: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """The numbers [B, S] by block: bias and scale, [B, C] each."""
        sizes = [channels for _, channels in self.styled for _ in range(2)]
        pieces = style.split(sizes, 1)
        return {name: (pieces[2 * k], pieces[2 * k + 1]) for k, (name, _) in enumerate(self.styled)}

    def paint(self, frames: Tensor, style: Tensor) -> Painted:
        """Draw with a style that was made before."""
        check_sides(frames, self.depth)
        styles = self.split_style(style)
        x = self.e1(frames)
        maps = [x]
        for k in range(2, self.depth + 1):
            x = self._run(f"e{k}", x, styles)
            maps.append(x)
        maps.pop()
        for k in range(1, self.depth + 1):
            x = self._run(f"d{k}", x, styles)
            if k <= NOISY_LEVELS:
                x = functional.dropout(x, 0.5, self.training or self.noisy)
            if maps:
                x = torch.cat([x, maps.pop()], 1)
        return blend(*self.get_submodule(f"d{self.depth}").heads(x), frames)

    def forward(self, frames: Tensor, feature: Tensor) -> Painted:
        return self.paint(frames, self.style(feature))

    def _run(self, name: str, x: Tensor, styles: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        x = self.get_submodule(name).body(x)
        return adaptive_norm(x, *styles[name]) if name in styles else x


def adaptive_norm(x: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
    """Each channel of each item of [B, C, H, W] brought to zero mean and unit deviation, then to `bias` and `scale`.

    Biases and scales are [B, C]. Batch normalisation of one item with B C channels is just that, in one pass.
    """
    flat = x.reshape(1, -1, *x.shape[2:])
    normed = functional.batch_norm(flat, None, None, scale.flatten(), bias.flatten(), training=True, eps=EPSILON)
    return normed.view(x.shape)


class _Block(nn.Module):
    """An activation, then a convolution, under the published name `body`."""

    def __init__(self, activation: nn.Module, layer: nn.Module, _outputs: int = 0) -> None:
        super().__init__()
        self.body = nn.Sequential(activation, layer)


class _Heads(_Block):
    """The last block, with the two convolutions that give colour and mask."""

    def __init__(self, activation: nn.Module, layer: nn.ConvTranspose2d, outputs: int) -> None:
        super().__init__(activation, layer)
        self.img_reg, self.attention_reg = _make_heads(layer.out_channels, outputs)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu(x)
        return self.img_reg(x), self.attention_reg(x)


def _make_heads(channels: int, outputs: int) -> tuple[nn.Sequential, nn.Sequential]:
    colour = nn.Sequential(nn.Conv2d(channels, outputs, 7, padding=3), nn.Tanh())
    return colour, nn.Sequential(nn.Conv2d(channels, 1, 7, padding=3), nn.Sigmoid())


class _Mlp(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class UNetAC(nn.Module):
    """The journal version's generator, without a feature: composites [B, 9, H, W] in [-1, 1] -> `Painted`.

    Batch normalisation instead of a style. `levels`: how often the picture is halved; H and W are multiples of
    2 ** `levels`. `noisy`: see `UNetAdaIN`.
    """

    def __init__(
        self, *, inputs: int = 9, outputs: int = 3, ngf: int = 64, levels: int = 8, noisy: bool = False
    ) -> None:
        super().__init__()
        if not 5 <= levels <= len(_MULTIPLES):
            raise ValueError(f"levels must be 5 to {len(_MULTIPLES)}, not {levels}")
        widths = [ngf * m for m in _MULTIPLES[:levels]]
        inner: nn.Module | None = None
        for k in reversed(range(1, levels)):
            dropout = _Dropout(noisy) if levels - 1 - NOISY_LEVELS <= k < levels - 1 else None
            inner = _Level(widths[k - 1], widths[k], inner, dropout)
        self.levels = levels
        self.model = _Outermost(inputs, outputs, ngf, inner)

    def forward(self, frames: Tensor) -> Painted:
        check_sides(frames, self.levels)
        return blend(*self.model(frames), frames)


class _Outermost(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int, inner: nn.Module | None) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(inputs, width, 4, stride=2, padding=1, bias=False),
            inner or nn.Identity(),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.img_reg, self.attention_reg = _make_heads(width, outputs)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = self.model(frames)
        return self.img_reg(x), self.attention_reg(x)


class _Level(nn.Module):
    """One scale of the U-Net around the smaller ones: [B, outer, H, W] -> [B, 2 outer, H, W], the input first."""

    def __init__(self, outer: int, width: int, inner: nn.Module | None, dropout: nn.Module | None) -> None:
        super().__init__()
        parts = [nn.LeakyReLU(0.2), nn.Conv2d(outer, width, 4, stride=2, padding=1, bias=False)]
        if inner is not None:
            parts += [nn.BatchNorm2d(width), inner]
            width *= 2
        deconv = nn.ConvTranspose2d(width, outer, 4, stride=2, padding=1, bias=False)
        parts += [nn.ReLU(), deconv, nn.BatchNorm2d(outer)]
        self.model = nn.Sequential(*parts, *([dropout] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


class _Dropout(nn.Module):
    def __init__(self, noisy: bool) -> None:
        super().__init__()
        self.noisy = noisy

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, self.training or self.noisy)
