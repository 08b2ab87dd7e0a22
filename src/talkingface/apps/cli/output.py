"""What verbs share when they write a result: inputs are kept, progress is shown, figures and notes are printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talkingface.api import Animation


def note(text: str) -> None:
    """Print a sentence for the user that belongs to no result."""
    print(f"note: {text}", file=sys.stderr)


def save_video(
    make: Callable[[], Animation], inputs: tuple[str | None, ...], output: str, report: str | None, background: str
) -> None:
    """Make an animation from `inputs`, write it to `output` and its figures to `report`, and print what came of it."""
    from talkingface.api.animation import check_container
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_writable

    check_apart((output, report), inputs)  # before weights are loaded and the face is looked for
    check_container(output, background)
    if report is not None:
        check_writable(report)
    with Progress():
        animation = make()
        animation.save(output, report=report)
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
