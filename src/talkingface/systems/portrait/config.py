"""Settings of the `portrait` system. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkingface.photo.config import RefinerConfig
from talkingface.systems.portrait.motion.config import MouthConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitConfig:
    """Everything that decides what `portrait` computes."""

    mouth: MouthConfig = field(default_factory=MouthConfig)
    """The network from speech to mouth motion."""
    refiner: RefinerConfig | None = field(default_factory=RefinerConfig, metadata={"was": "painter"})
    """The networks that correct the warped photo; None: the bare warp."""


def preset(name: str) -> PortraitConfig:
    """The config called `name`: "official", "tiny" for tests, or "warp", the baseline of refining."""
    if name == "tiny":
        return PortraitConfig(
            mouth=MouthConfig(width=16, front=16, dilations=(1, 2)),
            refiner=RefinerConfig(face_widths=(8, 8, 8), mouth_widths=(8, 8, 8)),
        )
    return PortraitConfig(refiner=None) if name == "warp" else PortraitConfig()
