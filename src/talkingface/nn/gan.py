"""Adversarial losses and a small patch discriminator. Scores are raw (no sigmoid), of any shape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of a discriminator: 0 once real scores pass 1 and fake ones lie under -1."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def hinge_generator_loss(fake: Tensor) -> Tensor:
    """The generator's side of the hinge loss: the negative mean score."""
    return -fake.mean()


def lsgan_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares: real scores towards 1, fake ones towards 0."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def lsgan_generator_loss(fake: Tensor) -> Tensor:
    """Least squares: fake scores towards 1."""
    return 0.5 * (fake - 1).square().mean()


def r1_penalty(scores: Tensor, real: Tensor) -> Tensor:
    """Half the squared gradient of `scores` by the `real` input [B, ...], mean over the batch (R1).

    `real` must have required gradients before the scores were computed. Multiply by gamma (and, if it is computed on
    every n-th step only, by n) in the loss weights.
    """
    (grad,) = torch.autograd.grad(scores.float().sum(), real, create_graph=True)
    return 0.5 * grad.float().square().flatten(1).sum(1).mean()


def feature_matching_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Mean L1 distance between a discriminator's features of real and generated pictures; no gradient to `real`."""
    return torch.stack([functional.l1_loss(f, r.detach()) for f, r in zip(fake, real, strict=True)]).mean()


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of a picture; each of `channels` halves the size, all layers spectrally normalised.

    Returns the scores [B, 1, h, w] and the list of features after each layer. Three layers see 34 pixels around
    each score, four layers 70.

    Example: `scores, features = PatchDiscriminator(3, (32, 64, 128))(pictures)`
    """

    def __init__(self, in_channels: int = 3, channels: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        widths = [in_channels, *channels]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1))
            for before, after in itertools.pairwise(widths)
        )
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features
