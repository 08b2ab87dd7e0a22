"""The adapter of landmarks to one person, and the network that tells adapted landmarks from that person's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from talkingface.systems.geneface.official.audio2motion import LANDMARKS

_SLOPE = 0.2


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, residual: bool = False) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv1d(inputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv_block(x)
        return nn.functional.leaky_relu(made + x if self.residual else made, _SLOPE)


class PostNet(nn.Module):
    """Landmarks [B, T, 204] -> the person's, [B, T, 204]; frames of zeros only are padding.

    `pitch`: width of a pitch embedding [B, T, pitch] that it sees too.
    """

    def __init__(self, pitch: int = 0, landmarks: int = LANDMARKS) -> None:
        super().__init__()
        self.block1 = _blocks(landmarks + pitch, 128)
        self.block2 = _blocks(128, 256)
        self.block3 = nn.Sequential(_Block(256, 128), nn.Conv1d(128, landmarks, 1))

    def forward(self, motion: Tensor, pitch: Tensor | None = None) -> Tensor:
        mask = (motion.abs().sum(-1) != 0)[:, None].to(motion)
        x = (motion if pitch is None else torch.cat([motion, pitch], -1)).transpose(1, 2)
        for block in (self.block1, self.block2, self.block3):
            x = block(x) * mask
        return motion + x.transpose(1, 2)


def _blocks(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(_Block(inputs, width), *(_Block(width, width, residual=True) for _ in range(2)))


class MotionDiscriminator(nn.Module):
    """Landmarks [B, T, 204] -> [N, 1], one number for each frame that is not padding; 1 means the person's own."""

    def __init__(self, inputs: int = LANDMARKS) -> None:
        super().__init__()
        widths, slopes, layers = (inputs, 128, 256, 256, 128), (0.2, 0.25, 0.25, 0.25), []
        for before, after, slope in zip(widths, widths[1:], slopes, strict=False):
            layers += [nn.Linear(before, after), nn.LeakyReLU(slope), nn.Dropout(0.25)]
        self.backbone = nn.Sequential(*layers, nn.Linear(128, 1, bias=False))

    def forward(self, motion: Tensor) -> Tensor:
        rows = motion.flatten(0, 1)
        return self.backbone(rows[rows.sum(-1) != 0])


def fooled_loss(judged: Tensor) -> Tensor:
    """Least squares: the generator's loss for judged made frames, or the judge's for real ones."""
    return (1 - judged).square().mean()


def found_out_loss(judged: Tensor) -> Tensor:
    """Least squares: the judge's loss for made frames."""
    return judged.square().mean()


LOSS_WEIGHTS = {"adversarial": 0.85, "person": 0.05, "sync": 0.1, "near": 0.0}
"""Published weights of the adapter's losses; a variant gives 0.02 to `near`."""


def adapter_losses(
    judged: Tensor, adapted: Tensor, general: Tensor, mask: Tensor, of_person: Tensor, person: Tensor
) -> dict[str, Tensor]:
    """Unweighted losses of the adapter, without `sync` (`syncnet.sync_loss` of pairs of `adapted`).

    `judged` [N, 1]: what the judge says of the `adapted` landmarks [B, T, 204] of many speakers, which were `general`
    before, with a `mask` [B, T]; `of_person` [1, T', 204]: the person's own clip, generated and adapted, beside the
    person's landmarks.
    """
    return {
        "adversarial": fooled_loss(judged),
        "person": (of_person - person).square().mean(),
        "near": ((adapted - general).square().sum(-1) * mask).sum() / mask.sum(),
    }


def judge_losses(made: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Losses of the judge for its numbers [N, 1] of adapted landmarks and of the person's own."""
    return {"made": found_out_loss(made), "real": fooled_loss(real)}
