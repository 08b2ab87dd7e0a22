"""The sync expert: whether 5 frames of mouth landmarks go with 10 rows of HuBERT's features.

Block names and the order of layers are the published ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MOUTH = slice(48, 68)
"""The mouth's points among 68."""
MOTION_FRAMES, AUDIO_ROWS = 5, 10


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv1d(inputs, outputs, kernel, stride, padding), nn.BatchNorm1d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block(x).relu()


class _Residual(_Block):
    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv_block(x) + x).relu()


def _encoder(inputs: int, first: int, last_stride: int) -> nn.Sequential:
    return nn.Sequential(
        _Block(inputs, first, 3, 1, 1),
        _Block(first, 128, 3, 1, 1),
        _Residual(128),
        _Residual(128),
        _Block(128, 256, 3, 2, 1),
        _Residual(256),
        _Residual(256),
        _Block(256, 512, 3, last_stride, 1),
        _Residual(512),
        _Residual(512),
        _Block(512, 512, 3, 1, 1),
        _Block(512, 512, 3, 1, 0),
        _Block(512, 512, 1, 1, 0),
    )


class LandmarkSyncNet(nn.Module):
    """Embeddings of speech [B, 10, `audio`] and of mouths [B, 5, `motion`], unit vectors [B, 512] without negatives."""

    def __init__(self, motion: int = 60, audio: int = 1024) -> None:
        super().__init__()
        self.hubert_encoder = _encoder(audio, 128, 2)
        self.mouth_encoder = _encoder(motion, 96, 1)

    def forward(self, audio: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        return self.embed_audio(audio), self.embed_motion(motion)

    def embed_audio(self, rows: Tensor) -> Tensor:
        """[B, 10, audio] -> [B, 512]."""
        return functional.normalize(self.hubert_encoder(rows.transpose(1, 2)).flatten(1), dim=1)

    def embed_motion(self, frames: Tensor) -> Tensor:
        """[B, 5, motion] -> [B, 512]."""
        return functional.normalize(self.mouth_encoder(frames.transpose(1, 2)).flatten(1), dim=1)


def sync_loss(audio: Tensor, motion: Tensor, labels: Tensor | None = None) -> Tensor:
    """Binary cross entropy of the cosines of embeddings [B, 512] with labels [B] (None: all go together)."""
    cosine = functional.cosine_similarity(audio, motion)
    return functional.binary_cross_entropy(
        cosine.clamp(0, 1), torch.ones_like(cosine) if labels is None else labels.to(cosine)
    )
