"""`talkingface evaluate`: scores videos, prints the table, writes the report and the page."""

from __future__ import annotations

import sys
from typing import Any

from talkingface import api
from talkingface.apps.evaluate_html import write_html
from talkingface.apps.evaluate_table import figure_tables
from talkingface.apps.progress import Progress
from talkingface.core.cache import check_writable
from talkingface.core.device import tune_allocator
from talkingface.core.errors import InputError, UsageError


def evaluate_videos(generated: str | None, output: str, html: str | None, **options: Any) -> int:
    """`talkingface evaluate`; returns the exit code: not 0 when a pair could not be scored."""
    if generated is None:
        raise UsageError("name a video or a folder to evaluate")
    if html is not None:
        check_writable(html)
    tune_allocator()
    with Progress():
        report = api.evaluate(generated, output, **options)
    if html is not None:
        write_html(html, report)
    return say_report(report, output, html)


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
