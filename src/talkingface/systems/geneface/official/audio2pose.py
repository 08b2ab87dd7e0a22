"""Speech to head pose, one frame after the other: a WaveNet over a hundred frames of speech and of earlier poses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

AUDIO, POSE = 58, 6
"""Two rows of DeepSpeech's 29 letters; three angles and a place."""
FIELD = 100
"""Frames that a pose depends on."""
_WIDTH, _CONDITION, _SLOPE = 128, 256, 0.2
_DILATIONS = (1, 2, 4) * 2


class _Residual(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.filter_conv = nn.Conv1d(_WIDTH, _WIDTH, 2, dilation=dilation)
        self.gate_conv = nn.Conv1d(_WIDTH, _WIDTH, 2, dilation=dilation)
        self.residual_conv = nn.Conv1d(_WIDTH, _WIDTH, 1)
        self.skip_conv = nn.Conv1d(_WIDTH, 256, 1)
        self.cond_filter_conv = nn.Conv1d(_CONDITION, _WIDTH, 1)
        self.cond_gate_conv = nn.Conv1d(_CONDITION, _WIDTH, 1)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        padded = functional.pad(x, (self.dilation, 0))
        value = (self.filter_conv(padded) + self.cond_filter_conv(condition)).tanh()
        value = value * (self.gate_conv(padded) + self.cond_gate_conv(condition)).sigmoid()
        return self.residual_conv(value) + x, self.skip_conv(value)


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start_conv1 = nn.Conv1d(2 * POSE, _WIDTH, 1)
        self.start_conv2 = nn.Conv1d(_WIDTH, _WIDTH, 1)
        self.residual_blocks = nn.ModuleList(_Residual(dilation) for dilation in _DILATIONS)
        outputs = 1 + 4 * POSE
        self.end_conv_1 = nn.Conv1d(256, outputs, 1)
        self.end_conv_2 = nn.Conv1d(outputs, outputs, 1)
        self.dropout = nn.Dropout2d(0.5)

    def forward(self, history: Tensor, condition: Tensor) -> Tensor:
        x = self.dropout(history[:, :, :, None])[..., 0]
        x = functional.leaky_relu(self.start_conv1(x), _SLOPE)
        x = functional.leaky_relu(self.start_conv2(x), _SLOPE)
        total = torch.zeros((), device=x.device)
        for block in self.residual_blocks:
            x, skipped = block(x, condition)
            total = total + skipped
        x = functional.leaky_relu(total, _SLOPE)
        return self.end_conv_2(functional.leaky_relu(self.end_conv_1(x), _SLOPE))


class AudioToPose(nn.Module):
    """Speech [B, T, 58] and the poses and velocities before [B, T, 12] -> [B, T, 25]: a mixture's logit, the means of
    pose and velocity, and the negative logarithms of their deviations. `audio`: another width of speech."""

    def __init__(self, audio: int = AUDIO) -> None:
        super().__init__()
        self.audio_encoder = nn.Sequential(nn.Linear(audio, 256), nn.LeakyReLU(_SLOPE), nn.Linear(256, _CONDITION))
        self.backbone = _Backbone()

    def forward(self, audio: Tensor, history: Tensor) -> Tensor:
        condition = self.audio_encoder(audio).transpose(1, 2)
        return self.backbone(history.transpose(1, 2), condition).transpose(1, 2)


def means(numbers: Tensor) -> Tensor:
    """The means [..., 12] among the network's numbers [..., 25]."""
    return numbers[..., 1 : 1 + 2 * POSE]


def pose_loss(numbers: Tensor, real: Tensor) -> Tensor:
    """Mean squared error of the means: the published loss, whose name says that it is a mixture's."""
    return (means(numbers) - real).square().mean()


@torch.no_grad()
def generate_poses(network: AudioToPose, audio: Tensor, first: Tensor) -> Tensor:
    """Poses [T, 6] of speech [T, 58] that begin at a pose [6]: the means, each fed back."""
    padded = torch.cat([audio[:1].expand(FIELD - 1, -1), audio])
    history = torch.cat([first, torch.zeros_like(first)]).expand(FIELD, -1)
    made = []
    for frame in range(len(audio)):
        found = means(network(padded[None, frame : frame + FIELD], history[None]))[0, -1]
        history = torch.cat([history[1:], found[None]])
        made.append(found[:POSE])
    return torch.stack(made) if made else audio.new_zeros(0, POSE)
