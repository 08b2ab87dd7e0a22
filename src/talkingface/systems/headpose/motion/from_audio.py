"""From a whole voice to motion: ATC-net, the person's range of movement, and the frames of the clip behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from talkingface.audio.mfcc import FRAME_HOP, FRAME_PADDING, FRAME_ROWS, HOP, RATE_HZ, mfcc
from talkingface.core.timing import num_frames, samples_to_time
from talkingface.core.types import Controls, Motion
from talkingface.systems.headpose.config import AudioConfig
from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.motion.head_poses import ClipHead, steady_part, to_and_fro
from talkingface.systems.headpose.motion.matching import JOURNAL, MatchSettings, match_background

FPS = 25
SPACE = "mesh478"
NUM_EXPRESSION = 20
"""Columns of the motion space; brows are those of the clip's frames."""
POSE_SCALE = np.array([0.06, 0.06, 0.04, 0.06, 0.06, 0.03], np.float32)
"""Usual standard deviations of a talking head's pose: the unit in which the compact ATC-net predicts it."""
_PIECE = 500  # frames that go through the network at a time
_CLOSEST = 0.1  # share of the clip's frames among which the seed picks the first
_LEAST_TURN = 1e-4


def coefficients(samples: np.ndarray, frames: int, first: int = 0) -> np.ndarray:
    """What ATC-net sees of frames `first` to `frames` - 1 of speech at 16 kHz: float32 [4 T + 24, 12], windows
    overlapping."""
    return np.ascontiguousarray(cepstra(samples, frames, first)[:, 1:])


def cepstra(samples: np.ndarray, frames: int, first: int = 0) -> np.ndarray:
    """The same with the energy, which comes first: float32 [4 T + 24, 13]."""
    low, high = FRAME_HOP * first, FRAME_HOP * frames + FRAME_ROWS - FRAME_HOP
    before = min(low, 1)  # pre-emphasis looks one sample back: a row more, to be dropped
    begin, end = HOP * (low - before) - FRAME_PADDING, HOP * (high + 2) - FRAME_PADDING
    padded = np.zeros(end - begin, np.float32)
    heard = samples[max(begin, 0) : max(end, 0)]
    padded[max(begin, 0) - begin :][: len(heard)] = heard
    return mfcc(padded)[before : before + high - low].astype(np.float32)


def windows_of(rows: Tensor) -> Tensor:
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


class Listener:
    """The trained ATC-net: speech to expression and head pose."""

    def __init__(self, config: AudioConfig, state: Mapping[str, np.ndarray], device: str = "cpu") -> None:
        self._net = make_atcnet(config)
        self._net.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()})
        self._net.eval().to(device)
        self._device, self._expression = device, config.expression

    def listen(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mono float32 [N] at 16 kHz -> expression float32 [T, 20] and pose rows [T, 6] for every frame that begins
        within the speech."""
        frames = num_frames(samples_to_time(len(samples), RATE_HZ), FPS)
        found, state = [], None
        with torch.inference_mode():
            for first in range(0, frames, _PIECE):
                last = min(first + _PIECE, frames)
                rows = torch.from_numpy(coefficients(samples, last, first))
                numbers, state = self._net(windows_of(rows[None]).to(self._device), state)
                found.append(numbers[0].float().cpu().numpy())
        joined = np.concatenate(found)
        expression = np.zeros((frames, NUM_EXPRESSION), np.float32)
        expression[:, : self._expression] = joined[:, : self._expression]
        return expression, joined[:, self._expression :] * POSE_SCALE


class FrameMover(Protocol):
    """Chooses frames of the clip, int [T], for speech float32 [N] at 16 kHz."""

    def played(self, samples: np.ndarray, frames: int, seed: int) -> np.ndarray: ...


def speech_motion(
    listener: Listener,
    samples: np.ndarray,
    head: ClipHead,
    controls: Controls,
    *,
    gain: float,
    journal: bool = False,
    mover: FrameMover | None = None,
) -> Motion:
    """The motion of a voice for the person of a clip.

    `gain` scales the mouth. With generated poses the predicted head chooses what is played of the clip (`matching`);
    `journal` chooses as the journal version does, and a `mover` predicts the head in the listener's place. With source
    poses the clip plays forwards and backwards; still poses rest over its steadiest part.
    """
    expression, predicted = listener.listen(samples)
    count = len(expression)
    if controls.pose == "generated":
        if mover is None:
            source = played(predicted, head, JOURNAL if journal else MatchSettings(), controls.seed)
        else:
            source = mover.played(samples, count, controls.seed)
        pose = head.rows[source] * np.float32(controls.pose_scale)
    elif controls.pose == "source":
        source = to_and_fro(np.arange(count), 0, len(head))
        pose = head.rows[source]
    else:
        source = to_and_fro(np.arange(count), *steady_part(head))
        pose = np.zeros((count, 6), np.float32)
    return Motion(
        space=SPACE,
        expression=expression * np.float32(gain * controls.expression_scale),
        pose=pose,
        blink=None,
        source=source.astype(np.float32)[:, None],
        fps=FPS,
    )


def played(predicted: np.ndarray, head: ClipHead, settings: MatchSettings, seed: int) -> np.ndarray:
    """Frames of the clip, int [T], for a predicted head motion [T, 6].

    Predictions are calmer than people: they are stretched to the person's own range first, or matching would only ever
    find the middle of it. The seed picks the beginning among the clip's closest frames, so that the same words need not
    look the same twice; the motion is then followed from there.
    """
    real = head.rows[:, :3]
    spread = np.maximum(predicted[:, :3].std(axis=0), _LEAST_TURN)
    wanted = (predicted[:, :3] - predicted[:, :3].mean(axis=0)) / spread * real[head.seen].std(axis=0)
    return match_background(begun_near(wanted, real, head.seen, seed), real, settings).source


def begun_near(wanted: np.ndarray, real: np.ndarray, seen: np.ndarray, seed: int) -> np.ndarray:
    """Angles [T, 3] that begin at one of the clip's frames (`real` [M, 3], `seen` bool [M]) and come back to `wanted`
    within seconds."""
    near = np.argsort(np.abs(real - wanted[0]).sum(axis=1) + 10.0 * ~seen)
    rng = np.random.default_rng([seed, len(seen)])
    first = int(near[int(rng.integers(max(1, round(_CLOSEST * len(near)))))])
    return wanted + (real[first] - wanted[0]) * np.exp(-np.arange(len(wanted)) / FPS)[:, None]
