"""Weights that others made become weights of the store: `talkingface weights import KIND FILES`.

Each kind has one function that lives with the network it is for; this table says where. Packages add kinds by entry
points of the group `talkingface.importers`. Nothing heavy is imported until a kind is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from talkingface.core import registry
from talkingface.core.errors import UsageError

GROUP = "talkingface.importers"
IMPORTERS: dict[str, str] = {
    "arcface": "talkingface.metrics.arcface:import_arcface",
    "headpose": "talkingface.systems.headpose.official.importing:import_headpose",
    "inception": "talkingface.metrics.inception:import_inception",
    "lpips": "talkingface.metrics.lpips:import_lpips",
    "pcavs": "talkingface.systems.pcavs.official.convert:import_pcavs",
    "syncnet": "talkingface.metrics.syncnet:import_syncnet",
}
"""Kind -> "module:function"; the function takes the files (a sequence of paths) and gives `Imported`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an importer made of foreign files: `name` in the store ("lpips.alex"), NumPy `tensors`, facts for the card.

    The card should say `licence`, `allows` and `origin` (whose weights these are) and hold the `config`, if any.
    """

    name: str
    tensors: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)


def importer_kinds() -> list[str]:
    """All kinds, sorted."""
    return sorted(_addresses())


def find_importer(kind: str) -> Callable[[Sequence[Path]], Imported]:
    """The function of a kind. Raises UsageError with the close ones for an unknown kind."""
    addresses = _addresses()
    if kind not in addresses:
        raise UsageError(f"no weights of kind {kind!r} can be imported{registry.suggest(kind, addresses)}")
    return registry.import_attribute(addresses[kind])


def _addresses() -> dict[str, str]:
    return {**IMPORTERS, **{entry.name: entry.value for entry in entry_points(group=GROUP)}}
