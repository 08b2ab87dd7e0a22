"""V, the identity: a ResNeXt-50 (Xie et al., arXiv 1611.05431) with torchvision's names, so that weights load."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.resnet import Bottleneck, ResNet

PEOPLE = 5830
"""Classes of the published classifiers."""
MAP_PX = 7
GROUPS = 32


class Identity(NamedTuple):
    """`vector` [B, F] (2048 published) and `map` [B, C, 7, 7] (512 channels published)."""

    vector: Tensor
    map: Tensor


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


class IdentityNet(nn.Module):
    """Pictures [B, N, 3, H, W] in [-1, 1], N of each person -> `Identity`, averaged over the N.

    `people`: classes of the classifier that trains it (0: none). `blocks`: of the four stages.
    """

    def __init__(
        self,
        *,
        people: int = PEOPLE,
        width: int = 64,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        map_channels: int = 512,
        map_px: int = MAP_PX,
    ) -> None:
        super().__init__()
        self.model = ResNet(GroupedBottleneck, blocks, num_classes=0, width=width)
        self.map_px = map_px
        self.conv1x1 = nn.Conv2d(self.model.num_features, map_channels, 1)
        self.fc = nn.Linear(self.model.num_features, people) if people else None

    def forward(self, pictures: Tensor) -> Identity:
        batch, count = pictures.shape[:2]
        maps = self.model.maps(pictures.flatten(0, 1))
        # pooled to 7 x 7 at every picture size, as published
        small = functional.adaptive_avg_pool2d(self.conv1x1(maps), self.map_px)
        return Identity(
            vector=maps.mean((2, 3)).unflatten(0, (batch, count)).mean(1),
            map=small.unflatten(0, (batch, count)).mean(1),
        )

    def scores(self, vector: Tensor) -> Tensor:
        """Raw scores of the people: [B, people]."""
        if self.fc is None:
            raise ValueError("this network has no classifier")
        return self.fc(vector)
