"""The audio-visual network of the sync expert, as it is trained: one unit vector a frame for mouth and for sound.

`sync_net_cpu` computes the same in NumPy; a test keeps the two equal.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.sync_config import SHAPE_GAIN, SyncConfig

_PICTURES_AT_ONCE = 256


class Block(nn.Module):
    """Residual block: each frame normalised over channels, convolution over time, ReLU, mixed: [B, C, T] kept."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return x + self.mix(self.dropout(functional.relu(self.conv(normed))))


class _Head(nn.Module):
    """Blocks over time, then values a frame: [B, C, T] -> [B, T, outputs]."""

    def __init__(self, width: int, dilations: tuple[int, ...], outputs: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, dilation, dropout) for dilation in dilations)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x.transpose(1, 2)))


class SyncNet(nn.Module):
    """Embeds sound and mouth; what belongs together points the same way.

    Both halves see a few frames to either side (sound: 8, mouth: 5). The mean over time is taken off shape and
    picture features, so that the person does not matter, only the movement.
    """

    def __init__(self, config: SyncConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.front = nn.Conv1d(config.bands, config.front, 5, padding=2)
        self.pool = nn.Conv1d(config.front, config.width, 2 * config.columns, config.columns, config.columns // 2)
        self.audio_head = _Head(config.width, config.audio_dilations, config.dim, dropout)
        self.shape = nn.Linear(3 * config.points, config.parts)
        channels = (1, *config.pictures)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(channels))
        height, width = (-(-side // 2 ** len(config.pictures)) for side in config.crop_hw)
        self.picture = nn.Linear(channels[-1] * height * width, config.parts)
        self.join = nn.Conv1d(2 * config.parts, config.width, 3, padding=1)
        self.visual_head = _Head(config.width, config.visual_dilations, config.dim + 1, dropout)
        self.log_scale = nn.Parameter(torch.tensor(2.5))
        """Of the logits made from cosines, in training."""

    def audio(self, columns: Tensor) -> Tensor:
        """Level-free mel columns [B, 4 T, 80] -> unit vectors [B, T, dim]."""
        x = functional.relu(self.front(columns.transpose(1, 2)))
        x = functional.relu(self.pool(x))
        return functional.normalize(self.audio_head(x), dim=-1)

    def visual(self, shape: Tensor, crops: Tensor, use: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Shapes [B, T, P, 3], pictures [B, T, h, w] of mean 0 -> unit vectors [B, T, dim], weights [B, T] in (0, 1).

        A frame's weight is how much information about time it holds. `use` [B, 2] switches shape and picture off by 0.
        """
        a = self.shape(SHAPE_GAIN * _centred(shape.flatten(2)))
        b = _centred(self._pictures(crops))
        if use is not None:
            a, b = a * use[:, :1, None], b * use[:, 1:, None]
        x = functional.relu(self.join(torch.cat([a, b], dim=-1).transpose(1, 2)))
        out = self.visual_head(x)
        return functional.normalize(out[..., :-1], dim=-1), torch.sigmoid(out[..., -1])

    def _pictures(self, crops: Tensor) -> Tensor:
        parts = []
        for some in crops.flatten(0, 1)[:, None].split(_PICTURES_AT_ONCE):
            for conv in self.convs:
                some = functional.relu(conv(some))
            parts.append(self.picture(some.flatten(1)))
        return torch.cat(parts).unflatten(0, crops.shape[:2])


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=1, keepdim=True)


def cosines_at_lags(mouth: Tensor, sound: Tensor, max_lag: int) -> Tensor:
    """Cosine of mouth[t] with the sound `lag` frames later: [B, T, D] and [B, T + 2 max_lag, D] -> [B, T, lags].

    The sound begins `max_lag` frames before the mouth; lags run from -max_lag to max_lag.
    """
    near = sound.unfold(1, 2 * max_lag + 1, 1)  # [B, T, D, lags]
    return torch.einsum("btd,btdl->btl", mouth, near)
