"""What verbs share when they write a result: inputs are kept, progress is shown, figures and notes are printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talkingface.api import Animation


def note(text: str) -> None:
    """Print a sentence for the user that belongs to no result."""
    print(f"note: {text}", file=sys.stderr)


def add_records(parser: argparse.ArgumentParser, figures: str) -> None:
    """The arguments for what is written beside a video; `figures` says what a report holds."""
    parser.add_argument("--report", metavar="FILE.json", help=f"write figures: {figures}")
    parser.add_argument(
        "--bom", metavar="FILE.json", help="write the bill of materials (CycloneDX): packages, weights, inputs"
    )


def save_video(
    make: Callable[[], Animation], inputs: tuple[str | None, ...], output: str, background: str, *,
    report: str | None, bom: str | None,
) -> None:  # fmt: skip
    """Make an animation from `inputs`, write it to `output`, its figures to `report` and its materials to `bom`, and
    print what came of it."""
    from talkingface.api.animation import check_container
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_data_name, check_writable

    check_apart((output, report, bom), inputs)  # before weights are loaded and the face is looked for
    check_container(output, background)
    for file in (report, bom):
        if file is not None:
            check_data_name(file, ".json")
            check_writable(file)
    with Progress():
        animation = make()
        animation.save(output, report=report, bom=bom)
    _print_result(animation)


def _print_result(animation: Animation) -> None:
    figures = animation.report
    for text in figures["notes"]:
        note(text)
    resumed = figures["frames_resumed"]
    rest = f", {resumed} of them from an earlier run" if resumed else ""
    drawn = figures["frames"] - resumed
    print(
        f"{figures['output']}: {figures['frames']} frames{rest}, made in {figures['wall_s']:.1f} s "
        f"({drawn / figures['wall_s']:.0f} frames/s)"
    )
    if weights := figures["weights"]:
        allows = f"; {weights['allows']}" if "allows" in weights else ""
        print(f"weights {weights.get('name', '')}: {weights.get('licence', 'no licence stated')}{allows}")
