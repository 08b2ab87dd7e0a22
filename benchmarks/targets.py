"""What a target is: a job to measure, rows beside what was promised; and how the targets of the folders are found."""

from __future__ import annotations

import pkgutil
import time
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import benchmarks
from talkingface.api.report import machine
from talkingface.core.errors import InputError, UsageError
from talkingface.core.registry import import_attribute, suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetJob:
    """What to measure on: `data` (a folder with manifest.csv), `weights` (None: the default), at most `limit` items
    (None: all), also what takes an hour (`long`), pictures to look at (`sheets`, a folder)."""

    data: Path | None
    weights: str | None = None
    limit: int | None = None
    long: bool = False
    sheets: Path | None = None

    @property
    def folder(self) -> Path:
        """`data`, checked. Raises UsageError or InputError."""
        if self.data is None:
            raise UsageError("this is measured on a data folder; name it with --data")
        if not (self.data / "manifest.csv").is_file():
            raise InputError(f"{self.data} has no manifest.csv; give the folder of development data")
        return self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure beside its target. `met` None: there is no target, it is shown for judging the others."""

    name: str
    value: float | None
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The rows of one kind of measurement, and what they were made from (JSON-ready)."""

    rows: list[Row]
    details: dict[str, Any] = field(default_factory=dict)


def at_least(name: str, value: float, limit: float) -> Row:
    """A figure that should not be below `limit`."""
    return Row(name=name, value=float(value), target=f">= {limit:g}", met=bool(value >= limit))


def at_most(name: str, value: float | None, limit: float) -> Row:
    """A figure that should not be above `limit`; None was not measured."""
    met = None if value is None else bool(value <= limit)
    return Row(name=name, value=None if value is None else float(value), target=f"<= {limit:g}", met=met)


def between(name: str, value: float, low: float, high: float) -> Row:
    """A figure that should lie from `low` to `high`."""
    return Row(name=name, value=float(value), target=f"{low:g} to {high:g}", met=bool(low <= value <= high))


def find_targets() -> dict[str, str]:
    """Name -> "module:function" of everything that the folders beside this file offer."""
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
        if module.ispkg:
            found |= getattr(import_module(module.name), "TARGETS", {})
    return found


def measure_targets(what: str, job: TargetJob) -> dict[str, Any]:
    """Measure one target: its rows and details, with machine, versions, commit, weights and date.

    Raises UsageError for an unknown one, and what the measurement raises. Print the result with `target_table`.
    """
    targets = find_targets()
    if what not in targets:
        raise UsageError(f"cannot measure {what!r}{suggest(what, targets)}")
    started = time.time()
    found: Finding = import_attribute(targets[what])(job)
    return {
        "what": what,
        "rows": [asdict(row) for row in found.rows],
        "details": found.details,
        "weights": job.weights or "default",
        "limit": job.limit,
        "date": time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(started)),
        "minutes": round((time.time() - started) / 60, 2),
        **machine(),
    }


def target_table(figures: dict[str, Any]) -> str:
    """The rows of `measure_targets` as text: figure, target, and whether it is met."""
    lines = [("what", "measured", "target", "")]
    for row in figures["rows"]:
        value = "not measured" if row["value"] is None else f"{row['value']:.4g}"
        verdict = "" if row["met"] is None else "met" if row["met"] else "NOT MET"
        lines.append((row["name"], value, row["target"], verdict))
    widths = [max(len(line[k]) for line in lines) for k in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
