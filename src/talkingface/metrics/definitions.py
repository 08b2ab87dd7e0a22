"""Every figure that `evaluate` can report: version of its definition, unit, which way is better, what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "real", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A figure. `better`: "real" means the closer to real video the better, "none" that it only informs."""

    meaning: str
    unit: str
    better: Better
    version: int = 1


DEFINITIONS: dict[str, Definition] = {}
VERSIONS: dict[str, int] = {key: definition.version for key, definition in DEFINITIONS.items()}
