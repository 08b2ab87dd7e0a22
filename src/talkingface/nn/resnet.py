"""Residual networks of He et al. (arXiv 1512.03385) with the tensor names of torchvision, so that its weights load.

The stride of a bottleneck sits in its 3x3 convolution, as in torchvision ("v1.5").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a skip: [B, inputs, H, W] -> [B, width, H / stride, W / stride]."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a skip: [B, inputs, H, W] -> [B, 4 width, H / stride, W / stride]."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = functional.relu(self.bn2(self.conv2(out)))
        return functional.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Pictures [B, 3, H, W] -> `num_classes` numbers [B, num_classes], or with 0 the pooled features [B, num_features].

    `blocks`: how many of `block` each of the four stages has; `width`: channels of the first stage. Input is usually
    RGB in [0, 1], normalised with `normalise_imagenet`.

    Example: `resnet18(num_classes=0)(normalise_imagenet(pictures))`
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        *,
        num_classes: int = 1000,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels, stages = width, []
        for number, count in enumerate(blocks):
            inner, layers = width << number, []
            for k in range(count):
                layers.append(block(channels, inner, stride=2 if number and k == 0 else 1))
                channels = inner * block.expansion
            stages.append(nn.Sequential(*layers))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.num_features = channels
        self.fc = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: Tensor) -> Tensor:
        """The last stage's feature maps [B, num_features, H / 32, W / 32]."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def features(self, x: Tensor) -> Tensor:
        """The maps averaged over the picture: [B, num_features]."""
        return self.maps(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))


def resnet18(*, num_classes: int = 1000, width: int = 64) -> ResNet:
    """ResNet-18: 11.7 M parameters, 512 features at the usual width."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes=num_classes, width=width)


def resnet50(*, num_classes: int = 1000, width: int = 64) -> ResNet:
    """ResNet-50: 25.6 M parameters, 2048 features at the usual width."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes=num_classes, width=width)


def normalise_imagenet(pictures: Tensor) -> Tensor:
    """RGB [B, 3, H, W] in [0, 1] -> the zero mean and unit deviation that ImageNet weights expect."""
    mean, std = (torch.tensor(v).to(pictures)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (pictures - mean) / std
