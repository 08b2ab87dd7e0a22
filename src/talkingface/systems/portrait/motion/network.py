"""The network from log-mel columns to mouth motion, in torch, as it is trained.

`audio2motion.MouthStream` computes the same in NumPy, hop by hop with state; a test keeps the two equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.mel import NUM_BANDS
from talkingface.systems.portrait.motion.audio2motion import COLUMNS_PER_FRAME
from talkingface.systems.portrait.motion.config import MouthConfig


class CausalConv(nn.Conv1d):
    """Convolution that sees the present and the past only; the past before the start is zeros."""

    def forward(self, input: Tensor) -> Tensor:
        past = (self.kernel_size[0] - 1) * self.dilation[0]
        return super().forward(functional.pad(input, (past, 0)))


class Block(nn.Module):
    """Residual block: normalise each frame over channels, dilated convolution, ReLU, mix channels."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = CausalConv(width, width, 3, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return x + self.mix(self.dropout(functional.relu(self.conv(normed))))


class MouthNet(nn.Module):
    """Normalised columns [B, 4 T, 80] -> [B, T, outputs]; row t depends on the columns of frames up to t only.

    Trained with rows delayed by the lookahead: row t + lookahead is the output for frame t.
    """

    def __init__(self, config: MouthConfig, dropout: float = 0.0) -> None:
        super().__init__()
        width = config.width
        self.front = CausalConv(NUM_BANDS, config.front, 3)
        self.pool = nn.Conv1d(config.front, width, COLUMNS_PER_FRAME, stride=COLUMNS_PER_FRAME)
        self.blocks = nn.ModuleList(Block(width, dilation, dropout) for dilation in config.dilations)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.outputs)

    def forward(self, columns: Tensor) -> Tensor:
        """See the class."""
        x = functional.relu(self.front(columns.transpose(1, 2)))
        x = functional.relu(self.pool(x))
        for block in self.blocks:
            x = block(x)
        return self.head(torch.relu(self.norm(x.transpose(1, 2))))
