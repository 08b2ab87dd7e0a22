"""Head motion of the journal version (Yi et al., IEEE TMM 2022): behaviour from a short video, then motion from speech.

The first network reads how a person moves out of 300 head poses; the second turns speech into head poses that move so.
Names are the published ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BehaviourEncoder(nn.Module):
    """Head poses [B, T, inputs] (pitch, yaw, roll in radians, translation) -> behaviour [B, behaviour].

    The behaviour is read from the last states of an LSTM, hidden and cell, of all layers.
    """

    def __init__(
        self,
        *,
        inputs: int = 6,
        behaviour: int = 10,
        hidden: int = 256,
        layers: int = 3,
        widths: Sequence[int] = (256, 128, 64, 32),
    ) -> None:
        super().__init__()
        self.pose_lstm = nn.LSTM(inputs, hidden, layers, batch_first=True)
        sizes = (2 * layers * hidden, *widths)
        steps = [_Step(nn.Linear(a, b), nn.ReLU()) for a, b in zip(sizes, sizes[1:], strict=False)]
        self.fc = nn.Sequential(*steps, nn.Linear(sizes[-1], behaviour))

    def read(self, poses: Tensor) -> tuple[Tensor, Tensor]:
        """The LSTM's outputs [B, T, hidden], and its last states [B, 2 layers hidden]: hidden by layer, then cell."""
        outputs, states = self.pose_lstm(poses)
        return outputs, torch.cat([layer for state in states for layer in state], 1)

    def forward(self, poses: Tensor) -> Tensor:
        return self.fc(self.read(poses)[1])


class MotionDecoder(nn.Module):
    """MFCC rows [B, L, inputs] at 100 Hz and a behaviour [B, behaviour] -> head poses [B, (L - 28) // 4 + 1, outputs].

    Rows are those of the padded sound with all 13 coefficients, so that pose i belongs to frame i of `frame_windows`.
    `widths`: channels of the gathered sound, then of the convolutions over frames.
    """

    def __init__(
        self,
        *,
        inputs: int = 13,
        behaviour: int = 10,
        outputs: int = 6,
        hidden: int = 256,
        layers: int = 3,
        widths: Sequence[int] = (1024, 512, 256),
    ) -> None:
        super().__init__()
        self.audio_lstm = nn.LSTM(inputs, hidden, layers, batch_first=True)
        self.audio_frame_gather = nn.Conv1d(hidden, widths[0], 28, stride=4)
        sizes = (widths[0] + behaviour, *widths[1:])
        steps = [
            _Step(nn.Conv1d(a, b, 3, padding=1), nn.BatchNorm1d(b), nn.ReLU())
            for a, b in zip(sizes, sizes[1:], strict=False)
        ]
        self.sfc = nn.Sequential(*steps, nn.Conv1d(sizes[-1], outputs, 1))

    def forward(self, rows: Tensor, behaviour: Tensor) -> Tensor:
        sound = self.audio_frame_gather(self.audio_lstm(rows)[0].transpose(1, 2))
        joined = torch.cat([sound, behaviour[:, :, None].expand(-1, -1, sound.shape[2])], 1)
        return self.sfc(joined).transpose(1, 2)


class _Step(nn.Module):
    """Layers in a row under the name `fc`, as the published modules hold them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.fc = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)
