"""Layers of StyleGAN2 (Karras et al., arXiv 1912.04958) in their published formulation and tensor names.

Weights are kept at unit deviation and scaled at each use ("equalised"), so that all layers learn at one rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE, GAIN = 0.2, math.sqrt(2)
EPS = 1e-8
TAPS = (1.0, 3.0, 3.0, 1.0)
"""Of the FIR filter around every change of size."""


def fir_kernel(taps: Sequence[float] = TAPS, gain: float = 1.0) -> Tensor:
    """The outer product of `taps` with themselves, with sum `gain`: float32 [K, K]."""
    row = torch.tensor(tuple(taps), dtype=torch.float32)
    kernel = torch.outer(row, row)
    return kernel * (gain / kernel.sum())


def upfirdn2d(x: Tensor, kernel: Tensor, *, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """Resample [B, C, H, W]: `up - 1` zeros after each pixel, `pad` before and after both axes (negative ones cut),
    convolution with `kernel` [K, K] (true convolution, so the taps are flipped), every `down`-th pixel kept."""
    batch, channels, height, width = x.shape
    if up > 1:
        x = functional.pad(x.reshape(batch, channels, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
        x = x.reshape(batch, channels, height * up, width * up)
    x = functional.pad(x, (pad[0], pad[1], pad[0], pad[1]))
    flat = x.reshape(batch * channels, 1, x.shape[2], x.shape[3])
    # a true convolution: PyTorch's is a correlation
    flat = functional.conv2d(flat, kernel.flip(0, 1).to(x.dtype)[None, None], stride=down)
    return flat.reshape(batch, channels, flat.shape[2], flat.shape[3])


class Blur(nn.Module):
    """The filter alone, with `pad` pixels before and after and a total gain of `gain`."""

    kernel: Tensor

    def __init__(self, pad: tuple[int, int], gain: float = 1.0) -> None:
        super().__init__()
        self.pad = pad
        self.register_buffer("kernel", fir_kernel(gain=gain))

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, pad=self.pad)


class Upsample(nn.Module):
    """Twice the size: [B, C, H, W] -> [B, C, 2H, 2W]."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain=4.0))

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, up=2, pad=(2, 1))


class Downsample(nn.Module):
    """Half the size: [B, C, H, W] -> [B, C, H / 2, W / 2]."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel())

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, down=2, pad=(1, 1))


def fused_leaky_relu(x: Tensor, bias: Tensor) -> Tensor:
    """Leaky ReLU of `x + bias`, with the gain that keeps its variance; `bias` broadcasts against `x`."""
    return functional.leaky_relu(x + bias, SLOPE) * GAIN


class FusedLeakyReLU(nn.Module):
    """`fused_leaky_relu` with a bias of [1, C, 1, 1] for maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return fused_leaky_relu(x, self.bias)


class PixelNorm(nn.Module):
    """Each row to a root mean square of one."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPS)


class EqualLinear(nn.Module):
    """Equalised linear layer [B, in] -> [B, out]; `activate` adds the leaky ReLU."""

    def __init__(
        self, inputs: int, outputs: int, *, bias_init: float = 0.0, lr_factor: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_factor)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias_init)))
        self.scale, self.lr_factor, self.activate = lr_factor / math.sqrt(inputs), lr_factor, activate

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias * self.lr_factor
        if self.activate:
            return fused_leaky_relu(functional.linear(x, self.weight * self.scale), bias)
        return functional.linear(x, self.weight * self.scale, bias)


class EqualConv(nn.Module):
    """Equalised convolution without bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale, self.stride, self.padding = 1 / math.sqrt(inputs * kernel**2), stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and (`demodulate`) whose output is brought back to
    the variance it would have had: [B, in, H, W] and style [B, S] -> [B, out, H, W].

    `resample`: "up" doubles the size (output 2H x 2W), "down" halves it.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style: int,
        *,
        demodulate: bool = True,
        resample: str | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.demodulate, self.resample = kernel, demodulate, resample
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        if resample == "up":
            total = 2 - (kernel - 1)
            self.blur = Blur(((total + 1) // 2 + 1, total // 2 + 1), gain=4.0)
        elif resample == "down":
            total = 2 + (kernel - 1)
            self.blur = Blur(((total + 1) // 2, total // 2))
        self.modulation = EqualLinear(style, inputs, bias_init=1.0)

    def style(self, style: Tensor) -> Tensor:
        """The scale of each input channel: [B, 1, in, 1, 1]."""
        return self.modulation(style)[:, None, :, None, None]

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        batch, inputs, height, width = x.shape
        kernels = self.scale * self.weight * self.style(style)
        # instead of normalising the result, whose statistics would carry droplets (StyleGAN2, section 2)
        if self.demodulate:
            kernels = kernels * torch.rsqrt(kernels.square().sum((2, 3, 4), keepdim=True) + EPS)
        outputs = kernels.shape[1]
        if self.resample == "up":
            kernels = kernels.transpose(1, 2).reshape(batch * inputs, outputs, self.kernel_size, self.kernel_size)
            # each picture of a batch has kernels of its own: groups keep them apart
            flat = x.reshape(1, batch * inputs, height, width)
            out = functional.conv_transpose2d(flat, kernels, stride=2, groups=batch)
            return self.blur(out.reshape(batch, outputs, *out.shape[2:]))
        kernels = kernels.reshape(batch * outputs, inputs, self.kernel_size, self.kernel_size)
        if self.resample == "down":
            x = self.blur(x)
        flat = x.reshape(1, batch * inputs, *x.shape[2:])
        stride, padding = (2, 0) if self.resample == "down" else (1, self.kernel_size // 2)
        out = functional.conv2d(flat, kernels, stride=stride, padding=padding, groups=batch)
        return out.reshape(batch, outputs, *out.shape[2:])


class NoiseWeight(nn.Module):
    """Adds a map of noise [B or 1, 1, H, W] times one learned number; None adds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        return x if noise is None else x + self.weight * noise


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style, resample="up" if up else None)
        self.noise = NoiseWeight()
        self.activate = FusedLeakyReLU(outputs)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        return self.activate(self.noise(self.conv(x, style), noise))


class ConvLayer(nn.Sequential):
    """Equalised convolution with leaky ReLU; `down` filters and halves first. Bare without `activate`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, down: bool = False, activate: bool = True) -> None:
        layers: list[nn.Module] = []
        if down:
            total = 2 + (kernel - 1)
            layers.append(Blur(((total + 1) // 2, total // 2)))
        padding = 0 if down else kernel // 2
        layers.append(EqualConv(inputs, outputs, kernel, stride=2 if down else 1, padding=padding))
        if activate:
            layers.append(FusedLeakyReLU(outputs))
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """The block of StyleGAN2's discriminator: half the size, [B, in, H, W] -> [B, out, H / 2, W / 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(inputs, inputs, 3)
        self.conv2 = ConvLayer(inputs, outputs, 3, down=True)
        self.skip = ConvLayer(inputs, outputs, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)
