"""Settings of `meter`."""

from __future__ import annotations

from dataclasses import dataclass

from talkingface.core.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """Everything that decides what it computes."""

    gain: float = 200.0
    """Pixels of the bar for full loudness."""


@dataclass(frozen=True, kw_only=True)
class MeterOptions:
    """What a user may ask of this system alone."""

    shade: int = option(220, "grey level of the bar", parse=int)


def preset(name: str) -> MeterConfig:
    """The config called `name`."""
    return MeterConfig()
