"""What drives a field, encoded: windows of landmarks or of audio features to one vector, smoothed over neighbours."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.02
_STRIDES = {1: (1, 1, 1, 1), 2: (2, 1, 1, 1), 3: (2, 2, 1, 1), 4: (2, 2, 1, 1), 16: (2, 2, 2, 2)}


class WindowEncoder(nn.Module):
    """Windows [S, window, inputs] -> vectors [S, outputs]. Windows have 1, 2, 3, 4 or 16 frames."""

    def __init__(self, inputs: int, outputs: int = 64, window: int = 16) -> None:
        super().__init__()
        if window not in _STRIDES:
            raise ValueError(f"windows have {', '.join(map(str, _STRIDES))} frames, not {window}")
        widths, layers = (inputs, 32, 32, 64, 64), []
        for before, after, stride in zip(widths, widths[1:], _STRIDES[window], strict=False):
            layers += [nn.Conv1d(before, after, 3, stride, padding=1), nn.LeakyReLU(_SLOPE)]
        self.encoder_conv = nn.Sequential(*layers)
        self.encoder_fc1 = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(_SLOPE), nn.Linear(64, outputs))

    def forward(self, windows: Tensor) -> Tensor:
        return self.encoder_fc1(self.encoder_conv(windows.transpose(1, 2)).squeeze(-1))


class WindowAttention(nn.Module):
    """Vectors [S, width] of neighbouring frames -> their weighted mean [width]."""

    def __init__(self, width: int = 64, windows: int = 8) -> None:
        super().__init__()
        widths, layers = (width, 16, 8, 4, 2, 1), []
        for before, after in pairwise(widths):
            layers += [nn.Conv1d(before, after, 3, padding=1), nn.LeakyReLU(_SLOPE)]
        self.attentionConvNet = nn.Sequential(*layers)
        self.attentionNet = nn.Sequential(nn.Linear(windows, windows), nn.Softmax(dim=1))

    def forward(self, vectors: Tensor) -> Tensor:
        weights = self.attentionNet(self.attentionConvNet(vectors.T[None])[:, 0])
        return weights[0] @ vectors


class Mlp(nn.Module):
    """Linear layers without bias, ReLU between them; `widths` from the input's to the output's."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = pairwise(widths)
        self.net = nn.ModuleList(nn.Linear(before, after, bias=False) for before, after in pairs)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """`shared` [C]: further inputs, the last ones, that are the same for all rows [N, ...] of `x`."""
        weights = [layer.get_parameter("weight") for layer in self.net]
        # what is shared is multiplied once, not for every row
        bias = None if shared is None else weights[0][:, x.shape[1] :] @ shared
        x = functional.linear(x, weights[0][:, : x.shape[1]], bias)
        for weight in weights[1:]:
            x = functional.linear(x.relu(), weight)
        return x
