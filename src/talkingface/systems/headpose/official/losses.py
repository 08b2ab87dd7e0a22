"""What ATC-net and the generator are trained by: named losses without weights (see `training.recipe`), and the
published weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ATC_WEIGHTS = {"expression": 1.0, "pose": 0.2, "pose_smoothness": 0.01, "expression_smoothness": 1e-4}
"""Published weights of `atc_losses`."""
PAINT_WEIGHTS = {"fool": 1.0, "picture": 100.0, "mask": 2.0, "mask_smoothness": 1e-5}
"""Published weights of `paint_losses` in fine-tuning; general training had "mask" at `GENERAL_MASK`."""
GENERAL_MASK = 0.1
JUDGE_WEIGHTS = {"judge_fake": 0.5, "judge_real": 0.5}
"""Published weights of `judge_losses`."""


def atc_losses(predicted: Tensor, target: Tensor, expression: int = 64) -> dict[str, Tensor]:
    """ATC-net's numbers [B, T, E + P] against the true ones; `expression` is E.

    "expression" and "pose" are mean squared errors. The smoothness terms are squared changes from frame to frame of
    the prediction, summed over time and numbers and averaged over the batch.
    """
    errors = (predicted - target).square()
    changes = (predicted[:, 1:] - predicted[:, :-1]).square().sum(1)
    return {
        "expression": errors[..., :expression].mean(),
        "pose": errors[..., expression:].mean(),
        "pose_smoothness": changes[:, expression:].sum(1).mean(),
        "expression_smoothness": changes[:, :expression].sum(1).mean(),
    }


def judge_losses(judge: nn.Module, frames: Tensor, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """The discriminator's losses: logistic, of (`frames`, `fake`) as false and (`frames`, `real`) as true.

    `frames` are the generator's inputs [B, 9, H, W]; no gradient reaches `fake`. The order, fake before real, is the
    original's: it decides what the running statistics of batch normalisation end as.
    """
    scores_fake = judge(torch.cat([frames, fake.detach()], 1))
    scores_real = judge(torch.cat([frames, real], 1))
    return {"judge_fake": logistic_loss(scores_fake, False), "judge_real": logistic_loss(scores_real, True)}


def paint_losses(judge: nn.Module, frames: Tensor, real: Tensor, fake: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """The generator's losses: "fool" the discriminator, mean distance from the `real` picture, and what keeps the
    `mask` [B, 1, H, W] from opening everywhere: its mean and its total variation."""
    return {
        "fool": logistic_loss(judge(torch.cat([frames, fake], 1)), True),
        "picture": functional.l1_loss(fake, real),
        "mask": mask.mean(),
        "mask_smoothness": total_variation(mask),
    }


def logistic_loss(scores: Tensor, real: bool) -> Tensor:
    """Mean binary cross entropy of raw scores that ought to say `real`."""
    return functional.softplus(-scores if real else scores).mean()


def total_variation(pictures: Tensor) -> Tensor:
    """Sum of absolute differences of neighbours in x and y, over pixels, channels and batch: [B, C, H, W] -> scalar."""
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().sum()
    return across + (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().sum()
