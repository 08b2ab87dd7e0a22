from __future__ import annotations

import torch
from torch.nn import functional

from talkingface.nn.perceptual import FeatureNet, feature_loss


def test_four_stages_halve_the_size():
    torch.manual_seed(0)
    net = FeatureNet()
    features = net(torch.rand(2, 3, 64, 32))
    assert [f.shape[2:] for f in features] == [(32, 16), (16, 8), (8, 4), (4, 2)]
    assert 0.4e6 < sum(p.numel() for p in net.parameters()) < 0.7e6
    assert all(0.1 < f.std() < 10 for f in features)


def test_loss_is_zero_for_equal_pictures_and_grows_with_blur():
    torch.manual_seed(0)
    net, sharp = FeatureNet(), torch.rand(1, 3, 64, 64)
    little = functional.avg_pool2d(sharp, 3, 1, 1)
    much = functional.avg_pool2d(sharp, 9, 1, 4)
    assert feature_loss(net, sharp, sharp) == 0
    assert 0 < feature_loss(net, little, sharp) < feature_loss(net, much, sharp)


def test_gradient_reaches_the_first_picture_only():
    a, b = torch.rand(1, 3, 32, 32, requires_grad=True), torch.rand(1, 3, 32, 32, requires_grad=True)
    feature_loss(FeatureNet(), a, b).backward()
    assert a.grad.abs().sum() > 0 and b.grad is None
