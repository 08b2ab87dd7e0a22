"""Settings of `meter`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """Everything that decides what it computes."""

    gain: float = 200.0
    """Pixels of the bar for full loudness."""


def preset(name: str) -> MeterConfig:
    """The config called `name`."""
    return MeterConfig()
