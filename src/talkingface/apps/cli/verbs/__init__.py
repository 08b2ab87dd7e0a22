"""The verbs of the command line, a module each.

A verb's module has `SUMMARY` (its line in the help), `add(parser)` (its arguments) and `run(...)`, which takes them by
name and may return an exit code. A module imports only the standard library and `core` parts that are as light; what
`run` needs is imported inside it, so that help appears at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

VERBS = (
    "animate", "motion", "render", "view", "track", "style", "fit", "train", "evaluate", "verify", "trust", "consent",
    "bom", "bench", "systems", "weights", "doctor",
)  # fmt: skip
"""In the order of the help; each is a module of this package."""


def verb_module(name: str) -> Any:
    """The module of a verb."""
    return import_module(f"{__name__}.{name}")
