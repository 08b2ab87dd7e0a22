"""Settings of the `portrait` system. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field

from talkingface.systems.portrait.motion_config import MouthConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PainterConfig:
    """Widths of the painter's networks, per scale from fine to coarse."""

    face_widths: tuple[int, ...] = (24, 48, 96)
    """FaceNet, at 1/8, 1/16 and 1/32 of the face crop."""
    mouth_widths: tuple[int, ...] = (24, 48, 96)
    """MouthNet, at 1/2, 1/4 and 1/8 of the mouth patch."""
    crop_px: int = 256
    """Side of the face crop that the painter works on."""
    mouth_px: tuple[int, int] = (96, 80)
    """Width and height of the mouth patch within the face crop; multiples of 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitConfig:
    """Everything that decides what `portrait` computes."""

    mouth: MouthConfig = field(default_factory=MouthConfig)
    """The network from speech to mouth motion."""
    painter: PainterConfig = field(default_factory=PainterConfig)
    """The networks that mend the warped photo."""


def preset(name: str) -> PortraitConfig:
    """The config called `name`: "official", or "tiny" for tests."""
    if name == "tiny":
        return PortraitConfig(
            mouth=MouthConfig(width=16, front=16, dilations=(1, 2)),
            painter=PainterConfig(face_widths=(8, 8, 8), mouth_widths=(8, 8, 8)),
        )
    return PortraitConfig()
