"""What the networks hear in training clips: windows of MFCC for ATC-net, or tokens of the speech encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.audio.mfcc import FRAME_HOP, FRAME_ROWS, RATE_HZ
from talkingface.systems.headpose.config import AudioConfig
from talkingface.systems.headpose.motion.from_audio import make_atcnet, make_speech_head, mfcc_rows, to_windows
from talkingface.training.augment_speech import played
from talkingface.training.speaking_clips import SpeakingClip
from talkingface.training.speech_tokens import TokenSource

SILENT_FRAMES = 60  # of noise
WARM_UP_FRAMES = 10  # frames at the start of an excerpt that have no loss: the LSTM lacks what came before them
DROPOUT = 0.25


class Hearing(Protocol):
    """One kind of network and its inputs."""

    def network(self) -> nn.Module:
        """A new network."""
        ...

    def general_layers(self, network: nn.Module) -> Iterator[nn.Module]:
        """The layers that stay those of many voices when the network is fitted to one."""
        ...

    def run(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """A batch of `inputs` of T frames -> numbers [B, T, E + 6]."""
        ...

    def plain(self, network: nn.Module, clip: SpeakingClip) -> np.ndarray:
        """The numbers float32 [T, E + 6] for a clip as it is, without a gradient."""
        ...

    def otherwise(self, samples: np.ndarray, speed: float, frames: int, rng: np.random.Generator) -> np.ndarray:
        """The inputs, float16, of speech [N] at 16 kHz played at `speed`, as another listener may hear it."""
        ...

    def silence(self, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """The inputs, float16, of some frames of sound that is no speech, and how many."""
        ...

    def cut(self, inputs: np.ndarray, weight: np.ndarray, first: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """`frames` frames from `first` on, and their weights: 0 beyond the clip and where too little is heard."""
        ...


class TokenHearing:
    """A small network on the encoder's tokens [2 T, width]; `voices`: what may be heard beside speech."""

    def __init__(self, config: AudioConfig, voices: Sequence[np.ndarray], seed: int) -> None:
        self._config, self._tokens = config, TokenSource(config.encoder, voices, seed)

    def network(self) -> nn.Module:
        """See `Hearing`."""
        return make_speech_head(self._config, DROPOUT)

    def general_layers(self, network: nn.Module) -> Iterator[nn.Module]:
        """See `Hearing`."""
        yield from (network.norm_in, network.pool)  # type: ignore[misc]

    def run(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """See `Hearing`."""
        return network(inputs)

    def plain(self, network: nn.Module, clip: SpeakingClip) -> np.ndarray:
        """See `Hearing`."""
        tokens = torch.from_numpy(self._tokens.plain(clip.samples, len(clip)).astype(np.float32))[None]
        with torch.no_grad():
            return network(tokens.to(next(network.parameters()).device))[0].float().cpu().numpy()

    def otherwise(self, samples: np.ndarray, speed: float, frames: int, rng: np.random.Generator) -> np.ndarray:
        """See `Hearing`."""
        return self._tokens.otherwise(samples, speed, frames, rng)

    def silence(self, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """See `Hearing`."""
        tokens = self._tokens.silence(rng)
        return tokens, len(tokens) // 2

    def cut(self, inputs: np.ndarray, weight: np.ndarray, first: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Hearing`."""
        return self._tokens.cut(inputs, weight, first, frames)


class MfccHearing:
    """ATC-net on MFCC [4 T + 24, 12]."""

    def __init__(self, config: AudioConfig) -> None:
        self._config = config

    def network(self) -> nn.Module:
        """See `Hearing`."""
        return make_atcnet(self._config)

    def general_layers(self, network: nn.Module) -> Iterator[nn.Module]:
        """See `Hearing`."""
        yield from (network.audio_eocder, network.audio_eocder_fc)  # type: ignore[misc]

    def run(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """See `Hearing`."""
        return network(to_windows(inputs))[0]

    def plain(self, network: nn.Module, clip: SpeakingClip) -> np.ndarray:
        """See `Hearing`."""
        rows = torch.from_numpy(mfcc_rows(clip.samples, len(clip)))[None]
        with torch.no_grad():
            return self.run(network, rows.to(next(network.parameters()).device))[0].float().cpu().numpy()

    def otherwise(self, samples: np.ndarray, speed: float, frames: int, rng: np.random.Generator) -> np.ndarray:
        """See `Hearing`."""
        return mfcc_rows(augment_speech(played(samples, speed), rng), frames).astype(np.float16)

    def silence(self, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """See `Hearing`."""
        noise = room_noise(RATE_HZ * (SILENT_FRAMES + 8) // 25, rng)
        return mfcc_rows(noise, SILENT_FRAMES).astype(np.float16), SILENT_FRAMES

    def cut(self, inputs: np.ndarray, weight: np.ndarray, first: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Hearing`."""
        values = np.zeros((FRAME_HOP * frames + FRAME_ROWS - FRAME_HOP, inputs.shape[1]), np.float32)
        part = inputs[FRAME_HOP * first :][: len(values)]
        values[: len(part)] = part
        counts = np.zeros(frames, np.float32)
        found = weight[first : first + frames]
        counts[: len(found)] = found
        if first:
            counts[:WARM_UP_FRAMES] = 0
        return values, counts


def augment_speech(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Speech float32 [N] at 16 kHz with a random equaliser, gain and background noise."""
    samples = _coloured(samples, 4.0, rng)
    if rng.random() < 0.6:
        loud = float(np.sqrt(np.mean(samples**2))) + 1e-6
        noise = _coloured(rng.standard_normal(len(samples)), 8.0, rng)
        samples = samples + noise / max(1e-9, float(noise.std())) * loud * 10 ** (-rng.uniform(8, 45) / 20)
    return samples.astype(np.float32)


def room_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Steady noise of a random spectrum and level, or digital silence: float32 [length]."""
    if rng.random() < 0.2:
        return np.zeros(length, np.float32)
    noise = _coloured(rng.standard_normal(length), 8.0, rng)
    return (noise / noise.std() * 10 ** (rng.uniform(-90, -35) / 20)).astype(np.float32)


def _coloured(samples: np.ndarray, tilt_db: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response."""
    spectrum = np.fft.rfft(samples)
    x = np.linspace(0, 1, len(spectrum))
    wave = rng.normal(0, tilt_db / 2) * np.cos(2 * np.pi * x * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    return np.fft.irfft(spectrum * 10 ** ((rng.normal(0, tilt_db) * 2 * (x - 0.5) + wave) / 20), len(samples))
