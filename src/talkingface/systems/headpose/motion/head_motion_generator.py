"""Head motion by the journal version's networks (Yi et al., IEEE TMM 2022), for users who imported them.

One network encodes the behaviour of a person from 300 head poses, the other decodes speech and behaviour to head poses.
Names of parameters are the published ones. The networks were published without their training, so no weights of our own
exist. Their poses follow the published convention (`convention.pose_of`), and choose frames of the clip as all
generated poses do.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.nn.state import tensors_of
from talkingface.systems.headpose.motion.from_audio import begin_at_source, mfcc_rows_with_energy
from talkingface.systems.headpose.motion.matching import JOURNAL, match_background
from talkingface.systems.headpose.official.convert import load_into

OBSERVED = 300  # frames from which the behaviour is encoded, at most


class BehaviourEncoder(nn.Module):
    """Head poses [B, T, inputs] (pitch, yaw, roll in radians, translation) -> behaviour [B, behaviour].

    Its input are the last states of an LSTM, hidden and cell, of all layers.
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
        steps = [_Step(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(sizes)]
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
            _Step(nn.Conv1d(a, b, 3, padding=1), nn.BatchNorm1d(b), nn.ReLU()) for a, b in itertools.pairwise(sizes)
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


@torch.inference_mode()
def encode_behaviour(encoder: Mapping[str, Tensor], poses: np.ndarray) -> np.ndarray:
    """The behaviour float32 [10] of a person with head poses [T, 6]."""
    network = encoder_for(encoder)
    load_into(network, encoder, "the imported behaviour network")
    inputs = torch.from_numpy(poses[:OBSERVED, : network.pose_lstm.input_size])
    return network.eval()(inputs[None])[0].numpy()


class HeadMotionGenerator:
    """Chooses frames of a clip for a voice. `angles` float32 [M, 3] are those of its frames; `seen` bool [M] ones
    count."""

    def __init__(
        self, decoder: Mapping[str, Tensor], behaviour: np.ndarray, angles: np.ndarray, seen: np.ndarray, device: str
    ) -> None:
        self._net = decoder_for(decoder)
        load_into(self._net, decoder, "the motion network")
        self._net.eval().to(device)
        self._behaviour = torch.from_numpy(behaviour.astype(np.float32))[None].to(device)
        self._angles, self._seen, self._device = angles, seen, device

    @torch.inference_mode()
    def source_frames(self, samples: np.ndarray, frames: int, seed: int) -> np.ndarray:
        """Frames of the clip, int [T], for speech float32 [N] at 16 kHz."""
        rows = torch.from_numpy(mfcc_rows_with_energy(samples, frames))[None].to(self._device)
        wanted = self._net(rows, self._behaviour)[0, :, :3].float().cpu().numpy()
        return match_background(begin_at_source(wanted, self._angles, self._seen, seed), self._angles, JOURNAL).source


def encoder_for(state: Mapping[str, Tensor]) -> BehaviourEncoder:
    """A behaviour network of the sizes in its state. Raises KeyError for another state."""
    steps = sum(name.endswith(".fc.0.weight") for name in state)
    return BehaviourEncoder(
        inputs=int(state["pose_lstm.weight_ih_l0"].shape[1]),
        behaviour=len(state[f"fc.{steps}.weight"]),
        hidden=int(state["pose_lstm.weight_hh_l0"].shape[1]),
        layers=sum(name.startswith("pose_lstm.weight_ih_l") for name in state),
        widths=[len(state[f"fc.{k}.fc.0.weight"]) for k in range(steps)],
    )


def decoder_for(state: Mapping[str, Tensor]) -> MotionDecoder:
    """A motion network of the sizes in its state. Raises KeyError for another state."""
    steps = sum(name.endswith(".fc.0.weight") for name in state)
    gathered = len(state["audio_frame_gather.weight"])
    return MotionDecoder(
        inputs=int(state["audio_lstm.weight_ih_l0"].shape[1]),
        behaviour=int(state["sfc.0.fc.0.weight"].shape[1]) - gathered,
        outputs=len(state[f"sfc.{steps}.weight"]),
        hidden=int(state["audio_lstm.weight_hh_l0"].shape[1]),
        layers=sum(name.startswith("audio_lstm.weight_ih_l") for name in state),
        widths=[gathered, *(len(state[f"sfc.{k}.fc.0.weight"]) for k in range(steps))],
    )


def load_head_motion(tensors: Mapping[str, np.ndarray], seen: np.ndarray, device: str) -> HeadMotionGenerator | None:
    """The generator of an avatar that was fitted with the journal version's networks; None for others."""
    decoder = tensors_of(tensors, "motion")
    if not decoder:
        return None
    return HeadMotionGenerator(decoder, tensors["person.behaviour"], tensors["clip.angles"], seen, device)
