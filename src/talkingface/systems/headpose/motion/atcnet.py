"""ATC-net: from windows of MFCC to expression and head pose (section 3.2 of the 2020 paper), with the published
names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from talkingface.audio.mfcc import FRAME_ROWS, NUM_COEFFICIENTS

LstmState = tuple[Tensor, Tensor]
_FRAMES_AT_ONCE = 32  # through the convolutions outside training: memory stays flat, and more is slower


class AtcNet(nn.Module):
    """Windows [B, T, 28, 12] -> `expression` + `pose` numbers [B, T, E + P], and the LSTM's state after them.

    As published, the numbers are expression coefficients, then pitch, yaw and roll in radians, then the translation x,
    y and z - 0.5 of the face model in its units. The weights of this project have pose rows instead, in units of
    `from_audio.POSE_SCALE`. To run speech in pieces, pass the state with the next windows; without one the LSTM starts
    at zero.

    `stepwise`: in training each time step goes through the convolutions by itself, so that batch normalisation has the
    statistics of one step and counts T updates, as in the original. Otherwise all steps are one batch, which is faster
    and gives calmer statistics. In evaluation there is no difference.

    Example: `numbers, state = AtcNet().eval()(torch.from_numpy(frame_windows(speech))[None])`
    """

    def __init__(
        self,
        *,
        expression: int = 64,
        pose: int = 6,
        channels: Sequence[int] = (64, 128, 256, 256, 512),
        hidden_fc: int = 2048,
        hidden: int = 256,
        layers: int = 3,
        stepwise: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != 5:
            raise ValueError(f"ATC-net has five convolutions; give five channel counts, not {len(channels)}")
        self.expression, self.stepwise = expression, stepwise
        c = (1, *channels)
        self.audio_eocder = nn.Sequential(  # the checkpoints spell it so
            _conv(c[0], c[1]),
            _conv(c[1], c[2]),
            nn.MaxPool2d(3, stride=(1, 2)),
            _conv(c[2], c[3]),
            _conv(c[3], c[4]),
            _conv(c[4], c[5]),
            nn.MaxPool2d(3, stride=(2, 2)),
        )
        self.audio_eocder_fc = nn.Sequential(
            nn.Linear(c[5] * 12 * 2, hidden_fc), nn.ReLU(), nn.Linear(hidden_fc, hidden), nn.ReLU()
        )
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.lstm_fc = nn.Sequential(nn.Linear(hidden, expression + pose))

    def embed(self, windows: Tensor) -> Tensor:
        """The layers before the LSTM: [N, 28, 12] -> [N, hidden]."""
        return self.audio_eocder_fc(self.audio_eocder(windows[:, None]).flatten(1))

    def forward(self, windows: Tensor, state: LstmState | None = None) -> tuple[Tensor, LstmState]:
        if windows.dim() != 4 or windows.shape[2:] != (FRAME_ROWS, NUM_COEFFICIENTS - 1):
            raise ValueError(f"ATC-net takes windows [B, T, 28, 12], not {list(windows.shape)}")
        if self.training and self.stepwise:
            embedded = torch.stack([self.embed(step) for step in windows.unbind(1)], 1)
        else:
            # batch statistics must see the whole batch
            pieces = [windows.flatten(0, 1)] if self.training else windows.flatten(0, 1).split(_FRAMES_AT_ONCE)
            embedded = torch.cat([self.embed(piece) for piece in pieces]).unflatten(0, windows.shape[:2])
        hidden, after = self.lstm(embedded, state)
        return self.lstm_fc(hidden), after


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
