"""What verbs share when they write a result: inputs are kept, progress is shown, figures and notes are printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from talkingface.core.errors import UsageError

if TYPE_CHECKING:
    from talkingface.api import Animation


def keep_inputs(output: str, *inputs: str | None) -> None:
    """Refuse to write over what is read. Raises UsageError."""
    for path in inputs:
        if path is not None and os.path.exists(path) and os.path.exists(output) and os.path.samefile(path, output):
            raise UsageError(f"{output} is an input too; name another output")


def note(text: str) -> None:
    """Print a sentence for the user that belongs to no result."""
    print(f"note: {text}", file=sys.stderr)


def save_video(make: Callable[[], Animation], output: str, report: str | None, background: str) -> None:
    """Make an animation, write it to `output` and its figures to `report`, and print what came of it."""
    from talkingface.api.animation import check_container
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_writable
    from talkingface.core.device import tune_allocator

    check_container(output, background)  # before weights are loaded and the face is looked for
    if report is not None:
        check_writable(report)
    tune_allocator()
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
