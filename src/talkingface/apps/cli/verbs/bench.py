"""`talkingface bench`: the whole command, or with `--what` every figure that the docs promise."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from talkingface.apps.cli.parser import add_options, split_names
from talkingface.core.errors import UsageError
from talkingface.core.options import SystemOptions
from talkingface.core.registry import DEFAULT_SYSTEM

SUMMARY = "measure the whole command, or a target that the docs promise"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "--what",
        default="command",
        help="command (default), or a target of docs/benchmarks/README.md: picture, speed, mouth ...",
    )
    parser.add_argument("--report", metavar="FILE.json", help="write the figures")
    add_options(parser, SystemOptions)
    command = parser.add_argument_group("for --what command: one animate in a process of its own")
    command.add_argument("--seconds", type=float, default=60.0, help="length of the speech (default: 60)")
    command.add_argument("--face", metavar="FILE", help="photo, video or avatar; default: the shipped portrait")
    command.add_argument("--speech", metavar="FILE", help="repeated as needed; default: the shipped speech")
    command.add_argument("--size", type=int, default=512, help="longest side of the picture (default: 512)")
    several = parser.add_argument_group("several systems or sizes, or two programs by turns")
    several.add_argument("--systems", metavar="NAMES", help="measure each of these, with commas")
    several.add_argument("--sizes", metavar="LIST", help="measure at each of these, with commas: 256,512")
    several.add_argument(
        "--compare", metavar="COMMAND", help="run it and this program by turns; it names {face}, {speech}, {output}"
    )
    several.add_argument("--pairs", type=int, default=5, metavar="N", help="runs of each to compare (default: 5)")
    target = parser.add_argument_group("for targets")
    target.add_argument("--data", metavar="FOLDER", help="development data: a folder with manifest.csv")
    target.add_argument("--limit", type=int, metavar="N", help="at most so many items")
    target.add_argument("--long", action="store_true", help="also what takes an hour")
    target.add_argument("--sheets", metavar="FOLDER", help="write contact sheets")


def run(
    what: str, report: str | None, data: str | None, limit: int | None, long: bool, sheets: str | None, **options: Any
) -> None:
    """Measure, print the figures and write them to `report`."""
    from talkingface.apps.bench.checkout import load_targets
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_writable, write_atomic
    from talkingface.core.types import check_number

    if report is not None:
        check_apart((report,), (options.get("face"), options.get("speech")))
        check_writable(report)
    if limit is not None:
        check_number("limit", limit, 1, whole=True)
    if what == "command":
        figures, text = _bench_command(**options)
    else:
        folders = [None if folder is None else Path(folder) for folder in (data, sheets)]
        targets = load_targets()
        job = targets.TargetJob(
            data=folders[0], weights=options.get("weights"), limit=limit, long=long, sheets=folders[1]
        )
        with Progress():
            figures = targets.measure_targets(what, job)
        text = targets.target_table(figures)
    print(text)
    if report is not None:
        with write_atomic(report, "w") as file:
            json.dump(figures, file, indent=2)


def _bench_command(
    systems: str | None, sizes: str | None, compare: str | None, pairs: int, **options: Any
) -> tuple[dict[str, Any], str]:
    """Figures and their text."""
    from talkingface.api.report import machine
    from talkingface.apps.bench import systems as several
    from talkingface.apps.bench.command import measure

    if (systems, sizes, compare) == (None, None, None):
        figures = measure(**options) | machine()
        return figures, json.dumps(figures, indent=2)
    system, size = options.pop("system", None), options.pop("size")
    load = several.Load(**options)
    if compare is not None:
        if systems is not None or sizes is not None:
            raise UsageError("--compare takes one --system and one --size, not lists")
        figures = several.compare(compare, size, pairs, load, system)
        return figures | machine(), several.compare_table(figures)
    names = [system or DEFAULT_SYSTEM] if systems is None else split_names(systems)
    if not names:
        raise UsageError("--systems names no system; see: talkingface systems")
    try:
        chosen = [size] if sizes is None else [int(word) for word in split_names(sizes)]
    except ValueError as error:
        raise UsageError(f"--sizes are whole numbers with commas, not {sizes!r}") from error
    figures = several.measure_systems(names, chosen, load)
    return figures | machine(), several.systems_table(figures)
