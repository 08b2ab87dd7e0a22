from __future__ import annotations

import pytest
import torch

from talkingface.nn.resnet import BasicBlock, Bottleneck, ResNet, normalise_imagenet, resnet18, resnet50


@pytest.mark.parametrize(("make", "millions", "tensors"), [(resnet18, 11.69, 122), (resnet50, 25.56, 320)])
def test_sizes_are_torchvisions(make, millions, tensors):
    with torch.device("meta"):
        network = make()
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    assert len(network.state_dict()) == tensors


def test_names_are_torchvisions():
    with torch.device("meta"):
        names = set(resnet50().state_dict())
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.num_batches_tracked",
        "layer3.5.conv3.weight",
        "layer4.2.bn3.bias",
        "fc.weight",
    } <= names
    assert "layer2.1.downsample.0.weight" not in names


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_small_widths_give_features_or_classes(block):
    torch.manual_seed(0)
    pictures = torch.rand(2, 3, 64, 96)
    network = ResNet(block, (1, 1, 1, 1), num_classes=5, width=4).eval()
    maps = network.maps(pictures)
    assert maps.shape == (2, 32 * block.expansion, 2, 3)
    assert torch.allclose(network.features(pictures), maps.mean((2, 3)))
    assert network(pictures).shape == (2, 5)
    headless = ResNet(block, (1, 1, 1, 1), num_classes=0, width=4).eval()
    assert headless(pictures).shape == (2, headless.num_features)


def test_stages_halve_from_the_second_on():
    network = resnet18(width=4).eval()
    x = torch.rand(1, 4, 16, 16)
    for stage, side in ((network.layer1, 16), (network.layer2, 8), (network.layer3, 4), (network.layer4, 2)):
        x = stage(x)
        assert x.shape[-1] == side


def test_imagenet_normalisation():
    grey = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand(1, 3, 2, 2)
    assert torch.allclose(normalise_imagenet(grey), torch.zeros(1, 3, 2, 2), atol=1e-6)
    assert normalise_imagenet(torch.ones(1, 3, 1, 1))[0, 0].item() == pytest.approx(0.515 / 0.229)
