"""FIR resampling of StyleGAN2, in its published formulation: insert zeros, pad, filter, drop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

TAPS = (1.0, 3.0, 3.0, 1.0)


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
