"""Motion from speech: predicted expression, scaled to the person, and the frames of the clip that are shown with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.audio.mfcc import FRAME_HOP, FRAME_PADDING, FRAME_ROWS, HOP, RATE_HZ, mfcc
from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.core.motion import ping_pong
from talkingface.core.timing import num_frames, samples_to_time
from talkingface.core.types import Controls, Motion
from talkingface.face.mesh478_space import MESH478
from talkingface.nn.speech_encoder_config import DELAYS
from talkingface.nn.speech_head import SpeechHead
from talkingface.person.heads import ClipHead, steady_part
from talkingface.systems.headpose.config import AudioConfig
from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.motion.matching import JOURNAL, MatchSettings, match_background

if TYPE_CHECKING:
    from talkingface.systems.headpose.motion.head_motion_generator import HeadMotionGenerator

Network = TypeVar("Network", bound=nn.Module)
FPS = 25
DELAY = "best"  # head motion is chosen for the whole voice: what comes later is known
# Coefficients of the motion space; networks predict the first ones, brows are those of the clip's frames.
NUM_EXPRESSION = 20
# Usual standard deviations of a talking head's pose rows: the units in which networks predict them.
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


def make_speech_head(config: AudioConfig, dropout: float = 0.0) -> SpeechHead:
    """What reads expression and pose off the tokens of a config's speech encoder."""
    width = SpeechEncoder.load(config.encoder).config.width
    return SpeechHead(config.speech, DELAYS[DELAY], width, config.expression + len(POSE_SCALE), dropout)


class AudioToMotion:
    """A trained network that hears as its config says: speech to expression and head pose.

    Raises WeightsError if the speech encoder is missing.
    """

    def __init__(self, config: AudioConfig, state: Mapping[str, np.ndarray], device: str = "cpu") -> None:
        state = {name: value.astype(np.float32) for name, value in state.items()}
        self._expression = config.expression
        self._read = _token_reader(config, state) if config.encoder else _mfcc_reader(config, state, device)

    def predict(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mono float32 [N] at 16 kHz -> expression float32 [T, 20] and pose rows [T, 6] for every frame that begins
        within the speech."""
        numbers = self._read(samples)
        expression = np.zeros((len(numbers), NUM_EXPRESSION), np.float32)
        expression[:, : self._expression] = numbers[:, : self._expression]
        return expression, numbers[:, self._expression :] * POSE_SCALE


def _token_reader(config: AudioConfig, state: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    encoder = SpeechEncoder.load(config.encoder)
    _load(make_speech_head(config), state)  # only to see that the arrays fit
    return lambda samples: encoder.rows(samples, state, config.speech, DELAY)


def _mfcc_reader(
    config: AudioConfig, state: Mapping[str, np.ndarray], device: str
) -> Callable[[np.ndarray], np.ndarray]:
    net = _load(make_atcnet(config), state).eval().to(device)

    def read(samples: np.ndarray) -> np.ndarray:
        frames = num_frames(samples_to_time(len(samples), RATE_HZ), FPS)
        found, after = [], None
        with torch.inference_mode():
            for first in range(0, frames, _PIECE):
                last = min(first + _PIECE, frames)
                rows = torch.from_numpy(mfcc_rows(samples, last, first))
                numbers, after = net(to_windows(rows[None]).to(device), after)
                found.append(numbers[0].float().cpu().numpy())
        return np.concatenate(found)

    return read


def _load(net: Network, state: Mapping[str, np.ndarray]) -> Network:
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return net


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
    the journal version if `journal`; `head_motion` predicts the head in place of the network. Source poses: the clip
    plays forwards and backwards. Still poses: its steadiest part does, and the head is held at rest.
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
