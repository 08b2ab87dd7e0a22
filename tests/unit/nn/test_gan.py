from __future__ import annotations

import pytest
import torch

from talkingface.nn import gan


def test_hinge_and_lsgan_have_their_minimum_where_the_papers_say():
    good, bad = torch.full((2, 1, 4, 4), 2.0), torch.full((2, 1, 4, 4), -2.0)
    assert gan.hinge_discriminator_loss(good, bad) == 0
    assert gan.hinge_discriminator_loss(bad, good) == 6
    assert gan.hinge_generator_loss(good) == -2
    assert gan.lsgan_discriminator_loss(torch.ones(3), torch.zeros(3)) == 0
    assert gan.lsgan_generator_loss(torch.zeros(3)) == 0.5


def test_r1_is_half_the_squared_gradient_and_differentiable():
    weight = torch.tensor([[1.0, 2.0, 2.0]], requires_grad=True)
    real = torch.randn(5, 3, requires_grad=True)
    penalty = gan.r1_penalty(real @ weight.T, real)
    assert penalty.item() == pytest.approx(4.5)
    penalty.backward()
    assert torch.allclose(weight.grad, weight.detach())


def test_feature_matching_reaches_the_generated_side_only():
    real, fake = [torch.ones(2, 3, requires_grad=True)], [torch.zeros(2, 3, requires_grad=True)]
    loss = gan.feature_matching_loss(real, fake)
    loss.backward()
    assert loss.item() == 1 and real[0].grad is None and fake[0].grad is not None


def test_discriminator_scores_patches_with_bounded_slope():
    torch.manual_seed(0)
    network = gan.PatchDiscriminator(3, (8, 16, 32))
    for _ in range(30):  # power iterations
        scores, features = network(torch.randn(2, 3, 32, 48))
    assert scores.shape == (2, 1, 4, 6) and [f.shape[1] for f in features] == [8, 16, 32]
    for layer in (*network.layers, network.score):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
