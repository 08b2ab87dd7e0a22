"""ResNeXt (Xie et al., arXiv 1611.05431) with torchvision's tensor names, so that its weights load."""

from __future__ import annotations

from torch import nn

from talkingface.nn.resnet import Bottleneck, ResNet

GROUPS = 32


class GroupedBottleneck(Bottleneck):
    """A bottleneck of twice the width whose 3x3 convolution runs in 32 groups (fewer, if it is narrower than that):
    "32x4d" at the usual width of 64."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__(inputs, width, stride)
        inner = 2 * width
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=min(GROUPS, inner), bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, width * self.expansion, 1, bias=False)


def resnext50(*, num_classes: int = 1000, width: int = 64) -> ResNet:
    """ResNeXt-50 32x4d: 25.0 M parameters, 2048 features at the usual width."""
    return ResNet(GroupedBottleneck, (3, 4, 6, 3), num_classes=num_classes, width=width)
