"""The speech encoder in torch, as it is trained. `audio.speech_encoder` computes the same in NumPy as a stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.speech_encoder_config import SpeechEncoderConfig


class AttentionLayer(nn.Module):
    """Self-attention and a wider part of two matrices, each added to its input, which is normalised first."""

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        width = config.width
        self._heads, self._past, self._future = config.heads, config.past, config.future
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.bias = nn.Parameter(torch.zeros(config.heads, config.past + config.future + 1))
        """What is added to the logit of a token that lies -past .. future tokens away, by head."""

    def forward(self, x: Tensor, ahead: int) -> Tensor:
        """[B, T, width], of whose T tokens each sees at most `ahead` later ones."""
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, -1)
        query, key, value = (part.view(batch, length, self._heads, -1).transpose(1, 2) for part in parts)
        places = torch.arange(length, device=x.device)
        away = places[None] - places[:, None]
        bias = self.bias[:, away.clamp(-self._past, self._future) + self._past]
        bias = bias.masked_fill((away < -self._past) | (away > ahead), -torch.inf)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias[None].to(query.dtype))
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class SpeechEncoder(nn.Module):
    """Normalised log-mel columns [B, 2 T, 80] at 100 Hz -> tokens [B, T, width] at 50 Hz.

    Differs from Whisper: the reach of attention is limited, and a learned bias by distance stands in place of the table
    of absolute places, so that a token does not depend on when the speech began.
    """

    def __init__(self, config: SpeechEncoderConfig, bands: int = 80) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(bands, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.place = nn.Parameter(torch.zeros(config.width))
        self.layers = nn.ModuleList(AttentionLayer(config) for _ in range(config.layers))

    def forward(self, columns: Tensor, ahead: int) -> Tensor:
        """See the class; every layer sees `ahead` tokens of what comes."""
        x = functional.gelu(self.conv1(columns.transpose(1, 2)), approximate="tanh")
        x = functional.gelu(self.conv2(x), approximate="tanh").transpose(1, 2) + self.place
        for layer in self.layers:
            x = layer(x, ahead)
        return x
