"""A_sync (speech content) and A (identity of the voice): SE-ResNet-34 over a mel spectrogram with attentive pooling.

Order matters and differs from ResNet's: convolution, ReLU, then batch normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.systems.pcavs.official.networks.identity import PEOPLE

SPEECH, MEL, WINDOW = 512, 80, 20
"""Of A_sync: length of its code, mel bands, and mel frames (of 10 ms) of a window."""
VOICE, VOICE_WINDOW = 2048, 320
"""Of A: length of its vector, and mel frames of its window. Its window lies with time as the height."""
_REDUCTION = 8


class SqueezeExcite(nn.Module):
    """Scales each channel by a factor computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // _REDUCTION)
        self.fc = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class SpeechBlock(nn.Module):
    """Two 3x3 convolutions and `SqueezeExcite` around a skip: [B, inputs, H, W] -> [B, width, H / s, W / s]."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se = SqueezeExcite(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        # activation before normalisation: published weights need this order
        out = self.bn1(functional.relu(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        return functional.relu(out + self.downsample(x))


class SpeechTrunk(nn.Module):
    """[B, 1, height, width] -> [B, outputs]: four stages, then a weighted sum over the width."""

    def __init__(
        self, outputs: int, height: int, widths: tuple[int, ...], blocks: tuple[int, ...], attention: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 3, padding=1)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before, stages = widths[0], []
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            layers = []
            for k in range(count):
                layers.append(SpeechBlock(before, width, stride=2 if number and k == 0 else 1))
                before = width
            stages.append(nn.Sequential(*layers))
            height = height if number == 0 else (height + 1) // 2
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        features = before * height
        self.attention = nn.Sequential(
            nn.Conv1d(features, attention, 1),
            nn.ReLU(),
            nn.BatchNorm1d(attention),
            nn.Conv1d(attention, features, 1),
            nn.Softmax(dim=2),
        )
        self.fc = nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(functional.relu(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x)))).flatten(1, 2)
        return self.fc((x * self.attention(x)).sum(2))


class SpeechNet(nn.Module):
    """Mel windows in [0, 1] -> codes [N, outputs].

    A_sync: windows [..., 1, 80, 20] (mel as height). A: [..., 1, 320, 80] (time as height). Leading dimensions are
    flattened. `people`: classes of its classifier (0: none).
    """

    def __init__(
        self,
        *,
        outputs: int = SPEECH,
        height: int = MEL,
        people: int = PEOPLE,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        blocks: tuple[int, ...] = (3, 4, 6, 3),
        attention: int = 128,
    ) -> None:
        super().__init__()
        self.model = SpeechTrunk(outputs, height, widths, blocks, attention)
        self.fc = nn.Linear(outputs, people) if people else None

    def forward(self, windows: Tensor) -> Tensor:
        return self.model(windows.reshape(-1, *windows.shape[-3:]))

    def scores(self, code: Tensor) -> Tensor:
        """Raw scores of the classifier: [N, people]."""
        if self.fc is None:
            raise ValueError("this network has no classifier")
        return self.fc(code)


def voice_net(*, people: int = PEOPLE) -> SpeechNet:
    """A in its published sizes: windows [B, 1, 320, 80] -> voice vectors [B, 2048] that stand for `Identity.vector`."""
    return SpeechNet(outputs=VOICE, height=VOICE_WINDOW, people=people)


def tiled_voice(mel: Tensor) -> Tensor:
    """The first 3.2 s of a mel spectrogram [T, 80] as A's window [1, 1, 320, 80]; shorter speech is repeated, which
    the original could not do."""
    # repeated, since the attention has a fixed length
    rows = torch.arange(VOICE_WINDOW) % len(mel)
    return mel[rows][None, None]
