"""Finds systems by name. Imports no system until it is asked for, and no network code even then.

A system is an entry point in the group `talkingface.systems` that points at its `SystemSpec`. The folders of this
package count too, so that a source tree works that was not installed, or before a system was added; those without a
module `system` are in preparation and not offered.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from talkingface.core.errors import UsageError
from talkingface.core.spec import SystemSpec

GROUP = "talkingface.systems"
_FOLDER = Path(__file__).resolve().parent.parent / "systems"
DEFAULT_SYSTEM = "portrait"
"""What is used where no system is named."""


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint for a mistyped word: "; did you mean x?" or, if nothing is close, "; known: x, y"."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known: {', '.join(known)}" if known else ""


def import_attribute(address: str) -> Any:
    """The object at "module:attribute". Raises UsageError if the address has no colon or leads nowhere."""
    module, colon, attribute = address.partition(":")
    if not colon:
        raise UsageError(f"{address!r} is not of the form module:attribute")
    try:
        return getattr(import_module(module), attribute)
    except AttributeError as error:
        raise UsageError(f"{module} has no {attribute}") from error


def _addresses() -> dict[str, str]:
    folders = (file.parent.name for file in _FOLDER.glob("*/system.py"))
    found = {name: f"{GROUP}.{name}:SPEC" for name in folders}
    return found | {entry.name: entry.value for entry in entry_points(group=GROUP)}


def system_names() -> list[str]:
    """Names of every registered system, sorted."""
    return sorted(_addresses())


def get_spec(name: str) -> SystemSpec:
    """The spec of system `name`. Raises UsageError with close names if there is none."""
    addresses = _addresses()
    if name not in addresses:
        raise UsageError(f"no system named {name!r}{suggest(name, addresses)}")
    spec = import_attribute(addresses[name])
    if not isinstance(spec, SystemSpec):
        raise UsageError(f"{addresses[name]} is not a SystemSpec")
    return spec


def get_config(spec: SystemSpec, preset: str) -> Any:
    """The config dataclass of `spec` for `preset`. Raises UsageError with close names if there is none."""
    if preset not in spec.presets:
        raise UsageError(f"system {spec.name} has no preset {preset!r}{suggest(preset, spec.presets)}")
    return import_attribute(spec.config)(preset)
