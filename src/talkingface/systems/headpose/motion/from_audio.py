"""Motion from speech: ATC-net's expression, scaled to the person, and the frames of the clip that are shown with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from talkingface.audio.mfcc import FRAME_HOP, FRAME_PADDING, FRAME_ROWS, HOP, RATE_HZ, mfcc
from talkingface.core.motion import ping_pong
from talkingface.core.timing import num_frames, samples_to_time
from talkingface.core.types import Controls, Motion
from talkingface.face.mesh478_space import MESH478
from talkingface.systems.headpose.config import AudioConfig
from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.motion.head_poses import ClipHead, steady_part
from talkingface.systems.headpose.motion.matching import JOURNAL, MatchSettings, match_background

if TYPE_CHECKING:
    from talkingface.systems.headpose.motion.head_motion_generator import HeadMotionGenerator

FPS = 25
# Coefficients of the motion space; ATC-net predicts the first ones, brows are those of the clip's frames.
NUM_EXPRESSION = 20
# Usual standard deviations of a talking head's pose rows: the units in which ATC-net predicts them.
POSE_SCALE = np.array([0.06, 0.06, 0.04, 0.06, 0.06, 0.03], np.float32)
_PIECE = 500  # frames that go through the network at a time
_CLOSEST = 0.1  # share of the clip's frames, the closest ones, among which the seed picks the first
_LEAST_TURN = 1e-4  # radians; below it a predicted angle counts as still


def mfcc_rows(samples: np.ndarray, frames: int, first: int = 0) -> np.ndarray:
    """ATC-net's input for frames `first` to `frames` - 1 of speech at 16 kHz, its windows overlapping: float32
    [4 T + 24, 12]."""
    return np.ascontiguousarray(mfcc_rows_with_energy(samples, frames, first)[:, 1:])


def mfcc_rows_with_energy(samples: np.ndarray, frames: int, first: int = 0) -> np.ndarray:
    """The same with the energy, which comes first: float32 [4 T + 24, 13]."""
    low, high = FRAME_HOP * first, FRAME_HOP * frames + FRAME_ROWS - FRAME_HOP
    before = min(low, 1)  # pre-emphasis needs the sample before: one more row, which is dropped
    begin, end = HOP * (low - before) - FRAME_PADDING, HOP * (high + 2) - FRAME_PADDING
    padded = np.zeros(end - begin, np.float32)
    part = samples[max(begin, 0) : max(end, 0)]
    padded[max(begin, 0) - begin :][: len(part)] = part
    return mfcc(padded)[before : before + high - low].astype(np.float32)


def to_windows(rows: Tensor) -> Tensor:
    """[B, 4 T + 24, 12] -> windows [B, T, 28, 12]."""
    return rows.unfold(1, FRAME_ROWS, FRAME_HOP).transpose(2, 3)


def make_atcnet(config: AudioConfig) -> AtcNet:
    """ATC-net of a config."""
    return AtcNet(
        expression=config.expression,
        pose=6,
        channels=config.channels,
        hidden_fc=config.hidden_fc,
        hidden=config.hidden,
        layers=config.layers,
    )


class AudioToMotion:
    """A trained ATC-net: speech to expression and head pose."""

    def __init__(self, config: AudioConfig, state: Mapping[str, np.ndarray], device: str = "cpu") -> None:
        self._net = make_atcnet(config)
        self._net.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()})
        self._net.eval().to(device)
        self._device, self._expression = device, config.expression

    def predict(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mono float32 [N] at 16 kHz -> expression float32 [T, 20] and pose rows [T, 6] for every frame that begins
        within the speech."""
        frames = num_frames(samples_to_time(len(samples), RATE_HZ), FPS)
        found, state = [], None
        with torch.inference_mode():
            for first in range(0, frames, _PIECE):
                last = min(first + _PIECE, frames)
                rows = torch.from_numpy(mfcc_rows(samples, last, first))
                numbers, state = self._net(to_windows(rows[None]).to(self._device), state)
                found.append(numbers[0].float().cpu().numpy())
        joined = np.concatenate(found)
        expression = np.zeros((frames, NUM_EXPRESSION), np.float32)
        expression[:, : self._expression] = joined[:, : self._expression]
        return expression, joined[:, self._expression :] * POSE_SCALE


def speech_motion(
    audio_to_motion: AudioToMotion,
    samples: np.ndarray,
    head: ClipHead,
    controls: Controls,
    *,
    gain: float,
    journal: bool = False,
    head_motion: HeadMotionGenerator | None = None,
) -> Motion:
    """The motion of a voice for the person of a clip with poses `head`.

    `gain` scales the mouth. Generated poses: frames of the clip are matched to the predicted head (`matching`), as in
    the journal version if `journal`; `head_motion` predicts the head in place of ATC-net. Source poses: the clip plays
    forwards and backwards. Still poses: its steadiest part does, and the head is held at rest.
    """
    expression, predicted = audio_to_motion.predict(samples)
    count = len(expression)
    if controls.pose == "generated":
        if head_motion is None:
            source = match_source(predicted, head, JOURNAL if journal else MatchSettings(), controls.seed)
        else:
            source = head_motion.source_frames(samples, count, controls.seed)
        pose = head.rows[source] * np.float32(controls.pose_scale)
    elif controls.pose == "source":
        source = ping_pong(np.arange(count), len(head))
        pose = head.rows[source]
    else:
        first, length = steady_part(head)
        source = first + ping_pong(np.arange(count), length)
        pose = np.zeros((count, 6), np.float32)
    return Motion(
        space=MESH478.name,
        space_version=MESH478.version,
        expression=expression * np.float32(gain * controls.expression_scale),
        pose=pose,
        blink=None,
        source=source.astype(np.float32)[:, None],
        fps=FPS,
    )


def match_source(predicted: np.ndarray, head: ClipHead, settings: MatchSettings, seed: int) -> np.ndarray:
    """Frames of the clip, int [T], for a predicted head motion [T, 6].

    Predictions vary less than people's poses. They are scaled to the person's own deviation first: unscaled, they match
    only the middle of the clip's poses. The seed picks the first frame among the clip's closest ones; the original
    moves in one way for one voice.
    """
    real = head.rows[:, :3]
    spread = np.maximum(predicted[:, :3].std(axis=0), _LEAST_TURN)
    wanted = (predicted[:, :3] - predicted[:, :3].mean(axis=0)) / spread * real[head.seen].std(axis=0)
    return match_background(begin_at_source(wanted, real, head.seen, seed), real, settings).source


def begin_at_source(wanted: np.ndarray, real: np.ndarray, seen: np.ndarray, seed: int) -> np.ndarray:
    """Angles [T, 3] that begin at those of one of the clip's frames (`real` [M, 3], `seen` bool [M]) and return to
    `wanted` within seconds."""
    near = np.argsort(np.abs(real - wanted[0]).sum(axis=1) + 10.0 * ~seen)
    rng = np.random.default_rng([seed, len(seen)])
    first = int(near[int(rng.integers(max(1, round(_CLOSEST * len(near)))))])
    return wanted + (real[first] - wanted[0]) * np.exp(-np.arange(len(wanted)) / FPS)[:, None]
