"""Figures of a report as tables of text, for the terminal and for pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

BETTER = {"higher": "up", "lower": "down", "zero": "to 0", "one": "to 1", "real": "as real", "none": ""}
"""Which way is better, in a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table; the first column is left-aligned."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For a terminal."""
        lines = [list(self.head), *[list(row) for row in self.rows]]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.head))]
        shown_lines = [
            "  ".join(
                cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([*([self.title] if self.title else ()), *(line.rstrip() for line in shown_lines)])

    def markdown(self) -> str:
        """For a page."""
        lines = [self.head, ["---", *["---:"] * (len(self.head) - 1)], *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(value: float | None) -> str:
    """A figure in four digits; a dash where there is none."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "infinite"
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:.0f}"


def figure_tables(report: dict[str, Any]) -> Iterator[Table]:
    """The tables of a report: one clip's figures, or mean, median and range over several."""
    if "systems" in report:
        yield from system_tables(report)
        return
    scored = [clip for clip in report["clips"] if clip["status"] == "scored"]
    if len(scored) == 1:
        yield _of_one(report, scored[0])
    elif scored:
        yield _of_many(report)


def _of_one(report: dict[str, Any], clip: dict[str, Any]) -> Table:
    rows = []
    for key, value in sorted(clip["metrics"].items()):
        figure = math.inf if key in clip["infinite"] else value
        rows.append((key, shown(figure), *_unit(report, key)))
    return Table(title=clip["name"], head=("figure", "value", "unit", "better"), rows=rows)


def _of_many(report: dict[str, Any]) -> Table:
    rows = []
    for key, found in report["summary"].items():
        count = f"{found['count']}" + (f" + {found['infinite']} infinite" if found["infinite"] else "")
        values = [shown(found[name]) for name in ("mean", "median", "min", "max")]
        rows.append((key, *values, count, *_unit(report, key)))
    head = ("figure", "mean", "median", "min", "max", "clips", "unit", "better")
    return Table(title="All clips", head=head, rows=rows)


def _unit(report: dict[str, Any], key: str) -> tuple[str, str]:
    found = report["definitions"].get(key.removesuffix(".reference"))
    return ("", "") if found is None else (found["unit"], BETTER[found["better"]])


def system_tables(report: dict[str, Any]) -> Iterator[Table]:
    """A table for each protocol: a row for each figure, a column for each system, ceiling and floor among them."""
    for protocol, rows in report["systems"].items():
        keys = sorted({key for summary in rows.values() for key in summary})
        cells = [(key, *(_mean(summary.get(key)) for summary in rows.values()), *_unit(report, key)) for key in keys]
        yield Table(title=protocol, head=("figure, mean", *rows, "unit", "better"), rows=cells)


def _mean(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    return shown(math.inf if found["infinite"] and not found["count"] else found["mean"])
