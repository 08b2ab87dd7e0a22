"""Settings of what turns a voice into motion. Standard library only; defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkingface.nn.speech_encoder_config import Delay, SpeechEncoderConfig, SpeechHeadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """How a delay hears: how far ahead, and the size of the head that reads the encoder's tokens."""

    delay: Delay
    head: SpeechHeadConfig

    def ahead_s(self, encoder: SpeechEncoderConfig) -> float:
        """Seconds of sound after a frame's time that decide it."""
        return self.delay.samples(encoder, self.head) / 16000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechConfig:
    """The general networks: whose tokens they read, and how, for each delay."""

    encoder: str = "speech_encoder.v1"
    best: Hearing = field(
        default_factory=lambda: Hearing(
            delay=Delay(ahead=5, right=3, hop=5), head=SpeechHeadConfig(width=96, dilations=(1, 2, 1, 4, 2, 4))
        )
    )
    """390 ms ahead."""
    low: Hearing = field(
        default_factory=lambda: Hearing(
            delay=Delay(ahead=1, right=1, hop=1), head=SpeechHeadConfig(width=64, dilations=(1, 2, 4, 1, 2, 4))
        )
    )
    """110 ms ahead."""
    tune_steps: int = 150
    """Of each training that tunes a head to one person; more than one tells how much of it holds for unheard words."""

    def hearing(self, delay: str) -> Hearing:
        """That of a delay, "best" or "low"."""
        return {"best": self.best, "low": self.low}[delay]


DELAYS = ("best", "low")
