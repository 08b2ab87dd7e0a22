"""The target `trust`: its parts one after the other."""

from __future__ import annotations

from benchmarks.targets import Finding, TargetJob
from talkingface.core.registry import import_attribute

PARTS = {
    "credentials": "benchmarks.trust.credentials:credentials",
    "mark": "benchmarks.trust.mark:mark",
}
"""Name -> "module:function" of what belongs to it."""


def trust(job: TargetJob) -> Finding:
    """All parts: their rows in one table, their details by name."""
    found = {name: import_attribute(place)(job) for name, place in PARTS.items()}
    rows = [row for part in found.values() for row in part.rows]
    return Finding(rows=rows, details={name: part.details for name, part in found.items()})
