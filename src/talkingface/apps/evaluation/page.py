"""`docs/benchmarks.md`: the report of `evaluate --systems` as a page of the documentation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from talkingface.apps.evaluation.table import BETTER, Table, shown
from talkingface.core.cache import write_atomic

_ABOUT = {
    "self-driven": "A clip's first frame says the clip's own sound, with the clip's head motion; against the clip.",
    "cross-driven": (
        "A clip's first frame says another person's sound, with the system's own head motion. There is no true "
        "picture; `mouth.correlation` is with the mouth of the person who said it."
    ),
}
_INTRO = """# Systems against real video

Made by one command; do not edit by hand. What each figure means: [definitions](#definitions). How they are measured:
[evaluate](how-to/evaluate.md). **Real video** is the clip itself through the same encoder: the ceiling. **Still photo**
is its first frame for the whole time, **bare warp** the same motion as `portrait`'s without its refiner: the floors. A
figure that does not lie between floor and ceiling as expected says more about the figure than about the system.
"""


def write_page(path: str | Path, report: dict[str, Any], command: str) -> None:
    """Write the page of a report that has `systems`. Raises OutputError."""
    with write_atomic(path, "w") as file:
        file.write("\n\n".join(_parts(report, command)) + "\n")


def _parts(report: dict[str, Any], command: str) -> Iterator[str]:
    data = report["data"]
    yield _INTRO.strip()
    yield f"```sh\n{command}\n```"
    clips = ", ".join(f"`{name}`" for name in data["clips"])
    yield (
        f"{report['date']}; {report['processor']}, {report['cores']} cores; version "
        f"{report['versions']['talkingface']}, commit {report['commit'] or 'unknown'}. {len(data['clips'])} clips, at "
        f"most 10 s each, means over clips: {clips}."
    )
    for sentence in data["skipped"]:
        yield f"Left out: {sentence.replace(data['folder'].rstrip('/') + '/', '')}."  # no place on one machine
    for protocol, rows in report["systems"].items():
        yield f"## {protocol.capitalize()}"
        yield _ABOUT[protocol]
        yield _table(report, rows).markdown()
    failures = [f"- {clip['name']}: {clip['reason']}" for clip in report["clips"] if clip["status"] != "scored"]
    if failures:
        yield "Not scored:\n\n" + "\n".join(failures)
    yield "## Definitions"
    rows = [
        (f"`{key}`", f"{found['meaning']} ({found['unit']})" if found["unit"] else found["meaning"])
        for key, found in report["definitions"].items()
    ]
    yield "\n".join(["| figure | is |", "|---|---|", *(f"| {key} | {meaning} |" for key, meaning in rows)])


def _table(report: dict[str, Any], rows: dict[str, Any]) -> Table:
    cells = []
    for key in sorted({key for summary in rows.values() for key in summary}):
        better = BETTER[report["definitions"].get(key, {"better": "none"})["better"]]
        cells.append((f"`{key}`", *(_value(summary.get(key)) for summary in rows.values()), better))
    return Table(title="", head=("figure", *rows, "better"), rows=cells)


def _value(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    return shown(math.inf if found["infinite"] and not found["count"] else found["mean"])
