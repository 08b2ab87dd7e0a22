"""E, what is not identity: a face alignment network (FAN, Bulat and Tzimiropoulos 2017) and small heads on its code."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.systems.pcavs.official.networks.identity import PEOPLE

CODE, POSE = 512, 12
LANDMARKS = 68
_DROPOUT = 0.5


class FanBlock(nn.Module):
    """Three 3x3 convolutions, activations first, side by side around a skip: [B, in, H, W] -> [B, out, H, W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), _conv(inputs, half)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), _conv(half, quarter)
        self.bn3, self.conv3 = nn.BatchNorm2d(quarter), _conv(quarter, quarter)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            mix = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), mix)

    def forward(self, x: Tensor) -> Tensor:
        # three outputs as they leave the convolutions, without activation: the next block begins with one
        first = self.conv1(functional.relu(self.bn1(x)))
        second = self.conv2(functional.relu(self.bn2(first)))
        third = self.conv3(functional.relu(self.bn3(second)))
        return torch.cat([first, second, third], 1) + self.downsample(x)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class Hourglass(nn.Module):
    """Down `depth` times and up again, with a branch at each size: [B, C, H, W] -> the same."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for level in range(depth, 0, -1):
            self.add_module(f"b1_{level}", FanBlock(channels, channels))
            self.add_module(f"b2_{level}", FanBlock(channels, channels))
        self.add_module("b2_plus_1", FanBlock(channels, channels))
        for level in range(1, depth + 1):
            self.add_module(f"b3_{level}", FanBlock(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self._level(self.depth, x)

    def _level(self, level: int, x: Tensor) -> Tensor:
        kept = functional.dropout(self.get_submodule(f"b1_{level}")(x), _DROPOUT, self.training)
        low = self.get_submodule(f"b2_{level}")(functional.max_pool2d(x, 2))
        low = self._level(level - 1, low) if level > 1 else self.get_submodule("b2_plus_1")(low)
        low = self.get_submodule(f"b3_{level}")(low)
        return kept + functional.interpolate(low, size=kept.shape[-2:], mode="bilinear", align_corners=False)


class Fan(nn.Module):
    """Pictures [B, 3, crop_px, crop_px] in [-1, 1] -> codes [B, code]. `width`: channels of the first convolution."""

    def __init__(self, *, code: int, crop_px: int, width: int, depth: int) -> None:
        super().__init__()
        if crop_px % 8 or (crop_px // 4) >> depth < 1:
            raise ValueError(f"pictures of {crop_px} pixels are too small for {depth} halvings, or no multiple of 8")
        channels = 4 * width
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = FanBlock(width, 2 * width)
        self.conv3 = FanBlock(2 * width, 2 * width)
        self.conv4 = FanBlock(2 * width, channels)
        self.m0 = Hourglass(channels, depth)
        self.top_m_0 = FanBlock(channels, channels)
        self.conv_last0 = nn.Conv2d(channels, channels, 1)
        self.bn_end0 = nn.BatchNorm2d(channels)
        self.l0 = nn.Conv2d(channels, LANDMARKS, 1)
        self.bn5 = nn.BatchNorm2d(LANDMARKS)
        self.conv6 = nn.Conv2d(LANDMARKS, 1, 3, stride=2, padding=1)
        self.fc = nn.Linear((crop_px // 8) ** 2, code)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(self.conv2(x), 2)
        x = self.top_m_0(self.m0(self.conv4(self.conv3(x))))
        x = functional.relu(self.bn_end0(self.conv_last0(x)))
        # a FAN for landmarks ends here; the layers that follow are the published addition
        x = self.conv6(functional.relu(self.bn5(self.l0(x))))
        return self.fc(functional.relu(x.flatten(1)))


class NonIdentityNet(nn.Module):
    """Pictures [B, 3, crop_px, crop_px] in [-1, 1] -> code n [B, code], which the heads turn into mouth and pose.

    `pose`: numbers of the pose code, the bottleneck; the mouth's embedding has the other `code - pose`. `classes` and
    `clip_len` are sizes of classifiers that only some trainings use (0 classes: none).
    """

    def __init__(
        self,
        *,
        code: int = CODE,
        pose: int = POSE,
        classes: int = PEOPLE,
        clip_len: int = 1,
        crop_px: int = 224,
        width: int = 64,
        depth: int = 4,
    ) -> None:
        super().__init__()
        self.model = Fan(code=code, crop_px=crop_px, width=width, depth=depth)
        self.classifier = nn.Sequential(nn.Linear(code, code), nn.ReLU(), nn.Linear(code, classes)) if classes else None
        self.to_mouth = _mapper(code)
        self.mouth_embed = nn.Sequential(nn.ReLU(), nn.Linear(code, code - pose))
        self.mouth_fc = nn.Sequential(nn.ReLU(), nn.Linear(code * clip_len, classes)) if classes else None
        self.to_headpose = _mapper(code)
        self.headpose_embed = nn.Sequential(nn.ReLU(), nn.Linear(code, pose))
        self.headpose_fc = nn.Sequential(nn.ReLU(), nn.Linear(pose * clip_len, classes)) if classes else None

    def forward(self, pictures: Tensor) -> Tensor:
        return self.model(pictures)

    def mouth(self, code: Tensor) -> Tensor:
        """The visual mouth code [B, code], in the space of the speech network's."""
        return self.to_mouth(code)

    def pose(self, code: Tensor) -> Tensor:
        """The pose code [B, pose]."""
        return self.headpose_embed(self.to_headpose(code))


def _mapper(size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))
