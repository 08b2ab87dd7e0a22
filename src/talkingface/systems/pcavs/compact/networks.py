"""The compact networks: mouth codes from pictures and from sound, and what a code does to a face."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.nn.blocks import ConvBlock
from talkingface.nn.speech_encoder_config import DELAYS
from talkingface.nn.speech_head import SpeechHead
from talkingface.systems.pcavs.config import CompactConfig

DELAY = "best"
NUM_MOUTH = 16
"""Mouth coefficients of `mesh478`."""


class MouthNet(nn.Module):
    """Grey pictures of mouths [B, 1, M, M] in [-1, 1] -> mouth codes [B, C]; `decode`: codes about that of the person's
    mouth at rest -> coefficients of `mesh478`."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        widths = config.mouth_widths
        before = (1, *widths[:-1])
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in zip(before, widths, strict=True))
        self.refine = nn.ModuleList(ConvBlock(width, width) for width in widths[1:])
        left = config.mouth_px // 2 ** len(widths)
        self.out = nn.Linear(widths[-1] * left * left, config.code)
        self.decode = nn.Linear(config.code, NUM_MOUTH, bias=False)
        for layer in self.down:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]

    def forward(self, mouths: Tensor) -> Tensor:
        """See the class."""
        x = mouths
        for level, down in enumerate(self.down):
            x = functional.relu(down(x))
            if level:
                x = self.refine[level - 1](x)
        return self.out(functional.relu(x).flatten(1))


def make_speech(config: CompactConfig, dropout: float = 0.0) -> SpeechHead:
    """What reads mouth codes off the tokens of the config's speech encoder."""
    width = SpeechEncoder.load(config.encoder).config.width
    return SpeechHead(config.speech, DELAYS[DELAY], width, config.code, dropout)


def signed_mouths(grey: Tensor) -> Tensor:
    """uint8 [B, M, M] -> float32 [B, 1, M, M] in [-1, 1]."""
    return grey[:, None].float() / 127.5 - 1
