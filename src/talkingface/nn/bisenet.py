"""BiSeNet (Yu et al. 2018) for faces: to which of 19 parts each pixel belongs, in the names of its public weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.resnet import resnet18

LABELS = (
    *("background", "skin", "left brow", "right brow", "left eye", "right eye", "glasses", "left ear", "right ear"),
    *("earring", "nose", "mouth", "upper lip", "lower lip", "neck", "necklace", "cloth", "hair", "hat"),
)
"""What the numbers of a parsing stand for."""


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class _Refinement(nn.Module):
    """Features scaled by what their mean says."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = _Conv(inputs, 128)
        self.conv_atten = nn.Conv2d(128, 128, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(128)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.bn_atten(self.conv_atten(_mean(x))).sigmoid()


class _ContextPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = resnet18(num_classes=0)
        self.arm16, self.arm32 = _Refinement(256), _Refinement(512)
        self.conv_head32, self.conv_head16 = _Conv(128, 128), _Conv(128, 128)
        self.conv_avg = _Conv(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at an eighth of the size, and the context at an eighth and at a sixteenth."""
        net = self.resnet
        x = functional.max_pool2d(net.bn1(net.conv1(x)).relu(), 3, stride=2, padding=1)
        eighth = net.layer2(net.layer1(x))
        sixteenth = net.layer3(eighth)
        last = net.layer4(sixteenth)
        context = self.arm32(last) + self.conv_avg(_mean(last))
        context16 = self.conv_head32(functional.interpolate(context, sixteenth.shape[-2:]))
        context = self.arm16(sixteenth) + context16
        return eighth, self.conv_head16(functional.interpolate(context, eighth.shape[-2:])), context16


class _Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convblk = _Conv(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        joined = self.convblk(torch.cat([features, context], 1))
        return joined * self.conv2(self.conv1(_mean(joined)).relu()).sigmoid() + joined


class _Head(nn.Module):
    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = _Conv(inputs, width)
        self.conv_out = nn.Conv2d(width, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """Pictures [B, 3, H, W], normalised as for ImageNet -> logits [B, 19, H, W]. 13.3 M parameters.

    Height and width are best multiples of 32; the public weights were learned at 512.
    """

    def __init__(self, classes: int = len(LABELS)) -> None:
        super().__init__()
        self.cp = _ContextPath()
        self.ffm = _Fusion()
        self.conv_out = _Head(256, 256, classes)
        self.conv_out16, self.conv_out32 = _Head(128, 64, classes), _Head(128, 64, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.all_heads(pictures)[0]

    def all_heads(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the head in use and of the two that only help in training."""
        features, context8, context16 = self.cp(pictures)
        heads = (self.conv_out(self.ffm(features, context8)), self.conv_out16(context8), self.conv_out32(context16))
        first, second, third = (
            functional.interpolate(logits, pictures.shape[-2:], mode="bilinear", align_corners=True) for logits in heads
        )
        return first, second, third


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)
