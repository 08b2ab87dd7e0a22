"""Generators and discriminator (section 3.4 of the 2020 paper): three composites in, one realistic frame out.

`UNetAdaIN` (2020) is conditioned on an identity feature from the memory; `UNetAC` (2022) needs none. Both give colours
and an attention mask, which keeps the last composite where it is high. Names of parameters are the published ones, each
tensor once (see `convert`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.systems.headpose.config import RendererConfig

HISTORY = 3  # composites that a generator sees: those of frames t-2, t-1 and t
EPSILON = 1e-5  # of the adaptive normalisation, against division by zero
_MULTIPLES = (1, 2, 4, 8, 8, 8, 8, 8)  # channels of the scales over the first one's
NOISY_LEVELS = 3  # decoder blocks with dropout, from the innermost outwards


class GeneratorOutput(NamedTuple):
    """`colour` [B, 3, H, W] in [-1, 1], `mask` [B, 1, H, W] in [0, 1], and the frame
    `picture` = mask * last composite + (1 - mask) * colour."""

    colour: Tensor
    mask: Tensor
    picture: Tensor


def blend(colour: Tensor, mask: Tensor, frames: Tensor) -> GeneratorOutput:
    """The output for `frames` [B, C, H, W]: their last composite where the mask is high, the colour elsewhere."""
    last = frames[:, -colour.shape[1] :]
    return GeneratorOutput(colour, mask, mask * last + (1 - mask) * colour)


def check_sides(frames: Tensor, levels: int) -> None:
    """Raise ValueError unless height and width of [B, C, H, W] can be halved `levels` times."""
    if frames.shape[2] % (1 << levels) or frames.shape[3] % (1 << levels):
        raise ValueError(f"height and width must be multiples of {1 << levels}, not {list(frames.shape[2:])}")


class UNetAdaIN(nn.Module):
    """Composites [B, 9, H, W] and features [B, F] -> `GeneratorOutput`.

    Composites t-2, t-1 and t are RGB in [-1, 1]; H and W are multiples of 256. An MLP turns the feature into mean and
    deviation of nearly every layer. `style_hidden` is its width; None is the published one, the number of means and
    deviations (205 M parameters at `ngf` 64). `noisy`: dropout also outside training. The published program left it on,
    so its results differed from run to run.

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
            last = k == self.depth
            self.add_module(f"d{k}", _Heads(nn.ReLU(), deconv, outputs) if last else _Block(nn.ReLU(), deconv))
            before = 2 * after  # with the encoder's maps
        self.styled = [
            *((f"e{k}", down[k]) for k in range(2, self.depth)),
            *((f"d{k}", n) for k, n in enumerate(up, 1)),
        ]
        """The normalised blocks and their channels, in the order in which they take numbers from the style."""
        numbers = 2 * sum(channels for _, channels in self.styled)
        self.mlp = _Mlp(feature, style_hidden or numbers, numbers)

    def block(self, name: str) -> _Block:
        """The block "e2" to "e8" or "d1" to "d8"."""
        block = self.get_submodule(name)
        assert isinstance(block, _Block)
        return block

    @property
    def heads(self) -> _Heads:
        """The last block."""
        block = self.block(f"d{self.depth}")
        assert isinstance(block, _Heads)
        return block

    def style(self, feature: Tensor) -> Tensor:
        """Features [B, F] -> all means and deviations [B, S]: for each block its biases, then its scales."""
        return self.mlp(feature)

    def split_style(self, style: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """A style [B, S] by block: bias and scale, [B, C] each."""
        sizes = [channels for _, channels in self.styled for _ in range(2)]
        pieces = style.split(sizes, 1)
        return {name: (pieces[2 * k], pieces[2 * k + 1]) for k, (name, _) in enumerate(self.styled)}

    def generate(self, frames: Tensor, style: Tensor) -> GeneratorOutput:
        """The frame for a style [B, S] of `style`."""
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
        return blend(*self.heads.read(x), frames)

    def forward(self, frames: Tensor, feature: Tensor) -> GeneratorOutput:
        return self.generate(frames, self.style(feature))

    def _run(self, name: str, x: Tensor, styles: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        x = self.block(name).body(x)
        return adaptive_norm(x, *styles[name]) if name in styles else x


def adaptive_norm(x: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
    """Each channel of each item of [B, C, H, W] brought to zero mean and unit deviation, then to `bias` and `scale`.

    Biases and scales are [B, C]. Batch normalisation of one item with B C channels computes just that, in one pass; the
    formula written out takes five passes over the largest maps, 450 ms a frame in place of 372.
    """
    flat = x.reshape(1, -1, *x.shape[2:])
    normed = functional.batch_norm(flat, None, None, scale.flatten(), bias.flatten(), training=True, eps=EPSILON)
    return normed.view(x.shape)


class _Block(nn.Module):
    """An activation, then a convolution, under the published name `body`."""

    def __init__(self, activation: nn.Module, layer: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(activation, layer)


class _Heads(_Block):
    """The last block, with the two convolutions that give colour and mask."""

    def __init__(self, activation: nn.Module, layer: nn.ConvTranspose2d, outputs: int) -> None:
        super().__init__(activation, layer)
        self.img_reg, self.attention_reg = _make_heads(layer.out_channels, outputs)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Colour and mask of the block's normalised output."""
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
    """The journal version's generator: composites [B, 9, H, W] in [-1, 1] -> `GeneratorOutput`.

    It has batch normalisation in place of a style. `levels`: how often the picture is halved; H and W are multiples of
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

    def forward(self, frames: Tensor) -> GeneratorOutput:
        check_sides(frames, self.levels)
        colour, mask = self.model(frames)
        return blend(colour, mask, frames)


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
        parts: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, width, 4, stride=2, padding=1, bias=False)]
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


class Discriminator(nn.Module):
    """The patch discriminator of pix2pix (Isola et al., arXiv 1611.07004): raw scores of overlapping patches.

    [B, inputs, H, W] -> [B, 1, H / 8 - 2, W / 8 - 2], 70 pixels a patch; `inputs` are the generator's frames and the
    picture to score, concatenated. The original always runs it in training mode, with the batch statistics of one
    picture.

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


def init_published(network: nn.Module) -> None:
    """The published starting weights, in place: normal with deviation 0.02 for convolutions, linear layers and around 1
    for batch normalisation, zero biases. LSTMs keep PyTorch's default."""
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def make_generator(config: RendererConfig) -> UNetAdaIN | UNetAC:
    """The generator of a config, with the published starting weights."""
    if config.kind == "adain":
        network = UNetAdaIN(ngf=config.ngf, feature=config.feature, style_hidden=config.style_hidden)
    else:
        network = UNetAC(ngf=config.ngf)
    init_published(network)
    return network


def to_signed(pictures: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def to_bytes(pictures: Tensor) -> np.ndarray:
    """[B, 3, H, W] in [-1, 1] to uint8 [B, H, W, 3]."""
    levels = ((pictures.float() + 1) * 127.5).clamp(0, 255).round().byte()
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
