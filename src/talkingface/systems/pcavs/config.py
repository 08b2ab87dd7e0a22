"""Settings of the `pcavs` system. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from talkingface.nn.speech_encoder_config import SpeechHeadConfig
from talkingface.systems.pcavs.official.config import OfficialConfig, tiny_official


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactConfig:
    """The compact networks."""

    code: int = 64
    """Length of the mouth code, from sound or pictures: one space for both."""
    mouth_px: int = 48
    """Side of the mouth network's grey picture."""
    mouth_widths: tuple[int, ...] = (16, 24, 32, 48)
    encoder: str = "speech_encoder.v1"
    """Weights of the speech encoder from whose tokens mouth codes are read."""
    speech: SpeechHeadConfig = field(default_factory=SpeechHeadConfig)
    """What reads them."""
    gain: tuple[float, float, float] = (1.0, 1.0, 1.1)
    """How much farther gap, width and jaw move than codes of speech say. At 1.15, 1.3 and 1.25 the gap of unseen people
    moves as far as a real one, here 0.82 times, but errors grow as well: of nine people eight had lips farther from the
    true ones."""
    refiner: str = "portrait.research"
    """Weights whose refiner draws what the warp cannot; "": none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PcavsConfig:
    """Everything that decides what `pcavs` computes."""

    variant: Literal["compact", "official"] = field(default="official", metadata={"was": "kind"})
    mouth_gain: float = 1.2
    """Official: factor on mouth codes of speech, when a face is animated; not in training."""
    compact: CompactConfig = field(default_factory=CompactConfig)
    official: OfficialConfig = field(default_factory=OfficialConfig)


def preset(name: str) -> PcavsConfig:
    """The config called `name`: "compact" (two CPU cores), "official" (2021); for tests "tiny", "tiny_official"."""
    if name == "official":
        return PcavsConfig()
    if name == "tiny_official":
        return PcavsConfig(official=tiny_official())
    if name == "compact":
        return PcavsConfig(variant="compact")
    compact = CompactConfig(
        code=8, mouth_px=16, mouth_widths=(4, 4, 4, 8), speech=SpeechHeadConfig(width=16, dilations=(1, 2)), refiner=""
    )
    return PcavsConfig(variant="compact", compact=compact)
