"""`talkingface evaluate`: scores videos, prints the table, writes the report and the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from talkingface import api
from talkingface.apps.evaluate_html import write_html
from talkingface.apps.evaluate_page import write_page
from talkingface.apps.evaluate_table import figure_tables
from talkingface.apps.progress import Progress
from talkingface.core.cache import check_writable
from talkingface.core.device import tune_allocator
from talkingface.core.errors import InputError, UsageError


def evaluate_videos(
    *,
    generated: str | None,
    output: str,
    html: str | None,
    systems: str | None,
    data: str | None,
    limit: int | None,
    page: str | None,
    workers: int | None,
    **given: str | None,
) -> int:
    """`talkingface evaluate`; returns the exit code: not 0 when a pair could not be scored."""
    _check(generated, systems, data, page, limit, given)
    for path in (html, page):
        if path is not None:
            check_writable(path)
    tune_allocator()
    with Progress():
        if systems is not None:
            report = api.evaluate_systems(split_names(systems), str(data), output, limit=limit, workers=workers)
        else:
            report = api.evaluate(str(generated), output, workers=workers, **given)
    if page is not None:
        rest = "" if limit is None else f" --limit {limit}"
        command = f"talkingface evaluate --systems {systems} --data DATA{rest} -o {Path(output).name} --page {page}"
        write_page(page, report, command)
    if html is not None:
        write_html(html, report)
    return say_report(report, output, html)


def _check(
    generated: str | None, systems: str | None, data: str | None, page: str | None, limit: int | None,
    given: dict[str, str | None],
) -> None:  # fmt: skip
    if systems is None:
        if generated is None:
            raise UsageError("name a video or a folder to evaluate, or systems with --systems")
        if (data, page, limit) != (None, None, None):
            raise UsageError("--data, --page and --limit go with --systems")
        return
    if data is None:
        raise UsageError("--systems needs --data, a folder of real clips")
    if generated is not None or any(given.values()):
        raise UsageError("--systems makes its own videos; leave out the video, --reference, --speech and --source")


def say_report(report: dict[str, Any], output: str, html: str | None) -> int:
    """Print tables and what failed; returns the exit code."""
    for table in figure_tables(report):
        print(table.text())
    for clip in report["clips"]:
        if clip["status"] != "scored":
            print(f"not scored: {clip['name']}: {clip['reason']}", file=sys.stderr)
    scored = len(report["clips"]) - report["failed"]
    print(f"{output}: {scored} of {len(report['clips'])} clips scored{f'; page: {html}' if html else ''}")
    return InputError.exit_code if report["failed"] else 0


def split_names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
