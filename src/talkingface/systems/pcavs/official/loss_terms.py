"""What the published system is trained by: plain functions of tensors, without weights (see `training.recipe`)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from talkingface.systems.pcavs.official.networks.discriminator import Judged

GanMode = Literal["hinge", "ls", "original", "w"]
"""hinge (used), least squares, logistic, Wasserstein."""
LAMBDA_IMAGE = 1.0
TEMPERATURE = 0.1
"""Of the cosine in `contrastive`."""
_CLOSEST = 1e-2


def score_loss(scores: Tensor, real: bool, mode: GanMode = "hinge", *, judging: bool = True) -> Tensor:
    """How wrong raw `scores` are that ought to say `real`. `judging`: for the discriminator; False: for the generator,
    which wants its own pictures (`real` is True then) to pass."""
    if mode == "ls":
        return (scores - float(real)).square().mean()
    if mode == "original":
        return functional.softplus(-scores if real else scores).mean()
    signed = scores if real else -scores
    if mode == "hinge" and judging:
        return functional.relu(1 - signed).mean()
    return -signed.mean()


def gan_loss(judged: Judged, real: bool, mode: GanMode = "hinge", *, judging: bool = True) -> Tensor:
    """`score_loss` of each scale's last entry, averaged over the scales."""
    return torch.stack([score_loss(scale[-1], real, mode, judging=judging) for scale in judged]).mean()


def feature_matching(fake: Judged, real: Judged, image_weight: float = LAMBDA_IMAGE) -> Tensor:
    """Mean L1 distances of a discriminator's entries but the scores, summed over layers, averaged over scales.

    Entry 0 is the picture itself, so this is also the pixel loss of the paper. No gradient to `real`.
    """
    total = []
    for ours, theirs in zip(fake, real, strict=True):
        for k, (a, b) in enumerate(zip(ours[:-1], theirs[:-1], strict=True)):
            total.append((image_weight if k == 0 else 1.0) * functional.l1_loss(a, b.detach()))
    return torch.stack(total).sum() / len(fake)


def distance_logits(x: Tensor, y: Tensor) -> Tensor:
    """The original's similarity of rows [N, C] and [M, C]: one over the distance of the unit vectors, [N, M].

    Distances under 0.01 count as that: the original grew without bound as a pair came together.
    """
    unit_x, unit_y = functional.normalize(x, dim=1), functional.normalize(y, dim=1)
    squared = (unit_x[:, None] - unit_y[None]).square().sum(2)
    return torch.rsqrt(squared.clamp_min(_CLOSEST**2))


def cosine_logits(x: Tensor, y: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The paper's similarity (section 3.2): the cosine, here over a temperature, [N, M]."""
    with torch.autocast(x.device.type, enabled=False):  # over a temperature, half precision's third digit counts
        return functional.normalize(x.float(), dim=1) @ functional.normalize(y.float(), dim=1).T / temperature


def contrastive(x: Tensor, y: Tensor, kind: Literal["cosine", "distance"] = "cosine") -> Tensor:
    """Cross entropy of finding each row's partner of `y` among all rows: [N, C] twice -> scalar, one direction.

    Rows of other clips and, if a clip has several rows, its own at other times are the negatives. Call it both ways.
    """
    logits = cosine_logits(x, y) if kind == "cosine" else distance_logits(x, y)
    return functional.cross_entropy(logits, torch.arange(len(x), device=x.device))


def uniform_distance(scores: Tensor) -> Tensor:
    """Mean squared distance of the softmax of `scores` [N, K] from saying nothing: takes words out of poses."""
    return (torch.softmax(scores, 1) - 1 / scores.shape[1]).square().mean()


def uniform_divergence(scores: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the softmax of `scores` [N, K] from the uniform distribution, mean over N."""
    return -torch.log_softmax(scores, 1).mean() - math.log(scores.shape[1])


def cross_modal(visual: Tensor, heard: Tensor) -> Tensor:
    """Mean L1 distance of speech codes from the visual mouth codes; no gradient to the visual ones."""
    return functional.l1_loss(heard, visual.detach())
