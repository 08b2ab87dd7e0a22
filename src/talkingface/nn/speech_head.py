"""What is read off the speech encoder's tokens once a frame, in torch; `nn.speech_stream` computes the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.speech_encoder_config import Delay, SpeechHeadConfig

TAPS = 3


class Block(nn.Module):
    """Residual block: normalise each frame over channels, dilated convolution, ReLU, mix channels."""

    def __init__(self, width: int, dilation: int, centred: bool, dropout: float) -> None:
        super().__init__()
        span = (TAPS - 1) * dilation
        self._pad = (dilation, dilation) if centred else (span, 0)
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, TAPS, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        normed = functional.pad(self.norm(x.transpose(1, 2)).transpose(1, 2), self._pad)
        return x + self.mix(self.dropout(functional.relu(self.conv(normed))))


class SpeechHead(nn.Module):
    """Tokens [B, 2 T, encoder width] -> rows [B, T, outputs]; frame t is read from tokens 2 t - 1 and 2 t and from as
    many frames around it as the blocks see with this `delay`."""

    def __init__(self, config: SpeechHeadConfig, delay: Delay, inputs: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(inputs)
        self.pool = nn.Conv1d(inputs, config.width, 2, stride=2)
        self.blocks = nn.ModuleList(
            Block(config.width, dilation, k < delay.right, dropout) for k, dilation in enumerate(config.dilations)
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """See the class."""
        x = functional.pad(self.norm_in(tokens).transpose(1, 2), (1, 0))[..., : tokens.shape[1]]
        x = functional.relu(self.pool(self.dropout(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(torch.relu(self.norm(x.transpose(1, 2))))
