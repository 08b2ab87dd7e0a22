"""`talkingface evaluate`: scores videos, prints the tables, writes the report and the pages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from talkingface.apps.cli.parser import add_options, add_output, split_names
from talkingface.core.errors import InputError, UsageError
from talkingface.core.options import SpeechOptions

SUMMARY = "score generated videos: picture, mouth, head, synchrony with the sound"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("generated", nargs="?", help="video, folder of videos, or manifest (.csv)")
    add_output(parser, "report to make (.json); results of finished clips are stored in a folder beside it")
    parser.add_argument("--reference", metavar="PATH", help="the real video of the same moments, or a folder of them")
    parser.add_argument("--speech", metavar="PATH", help="the sound that drove the face; default: the video's own")
    add_options(parser, SpeechOptions)
    parser.add_argument("--source", metavar="PATH", help="the photo that the video was made from")
    parser.add_argument("--html", metavar="FILE.html", help="also make a page: plots over time, worst frames, table")
    systems = parser.add_argument_group("to score systems on real clips instead of finished videos")
    systems.add_argument("--systems", metavar="NAMES", help="systems or weights with commas: portrait,portrait.clean")
    systems.add_argument("--data", metavar="FOLDER", help="real clips: a data folder, or videos of one person each")
    systems.add_argument("--limit", type=int, metavar="N", help="at most so many clips, as many people as possible")
    systems.add_argument("--page", metavar="FILE.md", help="also write the comparison as a page of documentation")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default: as many as there are cores")


def run(
    *,
    generated: str | None,
    output: str,
    html: str | None,
    systems: str | None,
    data: str | None,
    limit: int | None,
    page: str | None,
    workers: int | None,
    sound_track: int | None = None,
    **given: str | None,
) -> int:
    """Score videos or systems; returns the exit code: not 0 when a pair could not be scored."""
    from talkingface import api
    from talkingface.apps.evaluation.html import write_html
    from talkingface.apps.evaluation.page import write_page
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_data_name, check_writable

    _check(generated, systems, data, page, limit, {**given, "sound_track": sound_track})
    check_apart((output, html, page), (generated, *given.values()))
    check_data_name(output, ".json")
    for path in (html, page):
        if path is not None:
            check_writable(path)
    with Progress():
        if systems is not None:
            report = api.evaluate_systems(split_names(systems), str(data), output, limit=limit, workers=workers)
        else:
            report = api.evaluate(str(generated), output, workers=workers, sound_track=sound_track, **given)
    if page is not None:
        rest = "" if limit is None else f" --limit {limit}"
        command = f"talkingface evaluate --systems {systems} --data DATA{rest} -o {Path(output).name} --page {page}"
        write_page(page, report, command)
    if html is not None:
        write_html(html, report)
    return _print_report(report, output, html)


def _check(
    generated: str | None, systems: str | None, data: str | None, page: str | None, limit: int | None,
    given: dict[str, object],
) -> None:  # fmt: skip
    if systems is None:
        if generated is None:
            raise UsageError("name a video or a folder to evaluate, or systems with --systems")
        if (data, page, limit) != (None, None, None):
            raise UsageError("--data, --page and --limit go with --systems")
        return
    if data is None:
        raise UsageError("--systems needs --data, a folder of real clips")
    if generated is not None or any(value is not None for value in given.values()):
        raise UsageError(
            "--systems makes its own videos; leave out the video, --reference, --speech, --source and --sound-track"
        )


def _print_report(report: dict[str, Any], output: str, html: str | None) -> int:
    from talkingface.apps.evaluation.table import figure_tables

    for table in figure_tables(report):
        print(table.text())
    for clip in report["clips"]:
        if clip["status"] != "scored":
            print(f"not scored: {clip['name']}: {clip['reason']}", file=sys.stderr)
    scored = len(report["clips"]) - report["failed"]
    print(f"{output}: {scored} of {len(report['clips'])} clips scored{f'; page: {html}' if html else ''}")
    return InputError.exit_code if report["failed"] else 0
