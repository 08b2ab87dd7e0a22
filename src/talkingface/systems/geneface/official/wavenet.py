"""Gated convolutions with a condition (WaveNet's), and the weight norm of the published networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class NormedConv1d(nn.Module):
    """A convolution whose kernel is `weight_v`, each output's scaled to the norm `weight_g`: tensors of the old form
    of torch's weight norm, which checkpoints hold."""

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0) -> None:
        super().__init__()
        drawn = nn.Conv1d(inputs, outputs, kernel)
        assert drawn.bias is not None
        self.bias = nn.Parameter(drawn.bias.detach())
        self.weight_v = nn.Parameter(drawn.weight.detach())
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(1, 2), keepdim=True))
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(1, 2), keepdim=True))
        return functional.conv1d(x, kernel, self.bias, padding=self.padding)


class WaveNet(nn.Module):
    """x [B, width, T] with a condition [B, condition, T] and a mask [B, 1, T] -> [B, width, T]."""

    def __init__(self, width: int, kernel: int, layers: int, condition: int) -> None:
        super().__init__()
        self.width = width
        self.cond_layer = NormedConv1d(condition, 2 * width * layers, 1)
        self.in_layers = nn.ModuleList(NormedConv1d(width, 2 * width, kernel, kernel // 2) for _ in range(layers))
        self.res_skip_layers = nn.ModuleList(
            NormedConv1d(width, width if layer == layers - 1 else 2 * width, 1) for layer in range(layers)
        )

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        given = self.cond_layer(condition).chunk(len(self.in_layers), 1)
        out = torch.zeros_like(x)
        for layer, mix, added in zip(self.in_layers, self.res_skip_layers, given, strict=True):
            value, gate = (layer(x) + added).chunk(2, 1)
            made = mix(value.tanh() * gate.sigmoid())
            if made.shape[1] == self.width:
                out = out + made
            else:
                x = (x + made[:, : self.width]) * mask
                out = out + made[:, self.width :]
        return out * mask
