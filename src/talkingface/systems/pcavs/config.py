"""Settings of the `pcavs` system. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from talkingface.nn.speech_encoder_config import SpeechHeadConfig
from talkingface.systems.pcavs.official.config import OfficialConfig, tiny_official

ENCODER = "speech_encoder.v1"
COMPACT_GAIN = 1.8
"""Mouth codes of speech regress to the mean, and drawn lips move less than the codes. With this factor mouths of six
held-out people move 0.8 times as far as real ones and are open as far on average; at 2.1 they gape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeConfig:
    """Lengths of the compact networks' codes."""

    mouth: int = 64
    """Of the mouth code, from sound or pictures: one space for both."""
    mouth_style: int = 48
    """Of its part of the style."""
    pose: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactConfig:
    """The compact networks."""

    size_px: int = 128
    """Side of the pictures: a multiple of 16."""
    widths: tuple[int, ...] = (32, 56, 80, 96)
    """Channels at 1/2, 1/4, 1/8 and 1/16 of the size."""
    fine: int = 20
    """Channels at the full size."""
    identity: int = 64
    """Length of the identity code."""
    mouth_px: int = 48
    """Side of the mouth network's grey picture."""
    mouth_widths: tuple[int, ...] = (16, 24, 32, 48)
    pose_px: int = 64
    """Side of the pose network's picture, in which the mouth is hidden."""
    pose_widths: tuple[int, ...] = (12, 24, 36, 48)
    encoder: str = ""
    """Weights of the speech encoder from whose tokens mouth codes are read; "": from windows of log-mel, as in weights
    of before there was one."""
    speech: SpeechHeadConfig = field(default_factory=SpeechHeadConfig)
    """What reads them."""
    speech_width: int = 96
    """Log-mel: channels."""
    speech_blocks: int = 3
    mel_frames: int = 40
    """Log-mel: length of the window of sound around a frame, at 100 a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PcavsConfig:
    """Everything that decides what `pcavs` computes."""

    variant: Literal["compact", "official"] = field(default="official", metadata={"was": "kind"})
    mouth_gain: float = 1.2
    """Factor on mouth codes of speech, when a face is animated; not in training."""
    codes: CodeConfig = field(default_factory=CodeConfig)
    compact: CompactConfig = field(default_factory=CompactConfig)
    official: OfficialConfig = field(default_factory=OfficialConfig)

    @property
    def pose_numbers(self) -> int:
        """Length of the pose code."""
        return self.official.sizes.pose if self.variant == "official" else self.codes.pose


def preset(name: str) -> PcavsConfig:
    """The config called `name`: "compact" (two CPU cores), "official" (2021); for tests "tiny", "tiny_official"."""
    if name == "official":
        return PcavsConfig()
    if name == "tiny_official":
        return PcavsConfig(official=tiny_official())
    if name == "compact":
        return PcavsConfig(variant="compact", mouth_gain=COMPACT_GAIN, compact=CompactConfig(encoder=ENCODER))
    compact = CompactConfig(
        size_px=32, widths=(8, 8, 8, 8), fine=8, identity=8, mouth_px=16, mouth_widths=(4, 4, 4, 8), pose_px=32,
        pose_widths=(4, 4, 4, 8), encoder=ENCODER, speech=SpeechHeadConfig(width=16, dilations=(1, 2)),
    )  # fmt: skip
    return PcavsConfig(variant="compact", codes=CodeConfig(mouth=8, mouth_style=6), compact=compact)
