"""Settings of the `portrait` system. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkingface.nn.speech_encoder_config import SpeechHeadConfig
from talkingface.photo.config import RefinerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitConfig:
    """Everything that decides what `portrait` computes."""

    speech: SpeechHeadConfig = field(default_factory=SpeechHeadConfig)
    """What reads mouth motion off the speech encoder, one network for each delay."""
    encoder: str = "speech_encoder.v1"
    """The weights of the speech encoder."""
    refiner: RefinerConfig | None = field(default_factory=RefinerConfig, metadata={"was": "painter"})
    """The networks that correct the warped photo; None: the bare warp."""


def preset(name: str) -> PortraitConfig:
    """The config called `name`: "official", "tiny" for tests, or "warp", the baseline of refining."""
    if name == "tiny":
        return PortraitConfig(
            speech=SpeechHeadConfig(width=16, dilations=(1, 2)),
            refiner=RefinerConfig(face_widths=(8, 8, 8), mouth_widths=(8, 8, 8)),
        )
    return PortraitConfig(refiner=None) if name == "warp" else PortraitConfig()
