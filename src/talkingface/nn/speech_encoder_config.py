"""Shape of the speech encoder and of what is read off it, and how far each looks ahead. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

COLUMN_SAMPLES = 160
"""A log-mel column every 10 ms of 16 kHz speech, a token every two columns, a frame of 25 fps every two tokens."""
TOKEN_SAMPLES = 2 * COLUMN_SAMPLES
FRAME_SAMPLES = 2 * TOKEN_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEncoderConfig:
    """The convolutions and first layers of a Whisper encoder (Radford et al. 2022), with attention of limited reach."""

    width: int = 384
    heads: int = 6
    layers: int = 2
    past: int = 64
    """Tokens that a layer looks back."""
    future: int = 16
    """Tokens that a layer may look ahead at most; how many it does is a setting at run time (`Delay`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechHeadConfig:
    """What is read off the encoder's tokens, once a frame."""

    width: int = 128
    dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    """One residual block of three taps each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How far ahead of a frame speech is heard, and how many frames are computed at a time."""

    ahead: int
    """Tokens that each layer of the encoder looks ahead."""
    right: int
    """Blocks of a head, from the first on, that are centred; the others see the past alone."""
    hop: int
    """Frames computed at a time."""

    def head_frames(self, config: SpeechHeadConfig) -> int:
        """Frames that a head looks ahead."""
        return sum(config.dilations[: self.right])

    def samples(self, encoder: SpeechEncoderConfig, head: SpeechHeadConfig) -> int:
        """Samples of sound after a frame's time that decide it: those of two columns for the convolutions, the last
        of which lasts a hop longer, and what layers and blocks look ahead."""
        tokens = 2 * self.head_frames(head) + encoder.layers * self.ahead
        return tokens * TOKEN_SAMPLES + 3 * COLUMN_SAMPLES


DELAYS = {"best": Delay(ahead=10, right=6, hop=25), "low": Delay(ahead=1, right=1, hop=1)}
"""For files (0.99 s ahead) and for live use (0.11 s); weights are trained for both."""


def resolved(delay: str | Delay) -> Delay:
    """A delay of `DELAYS` by its name; others, of systems with limits of their own, as they are."""
    return DELAYS[delay] if isinstance(delay, str) else delay
