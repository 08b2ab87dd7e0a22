"""Progress of long work on stderr: nothing for two seconds, then a bar with time left, or plain lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from talkingface.core.progress import progress_listener

_QUIET_S = 2.0
_LOG_EVERY_S = 10.0


class Progress:
    """Shows the progress reported inside the block, and leaves the terminal clean.

    Example: `with Progress(): animation.save("out.mp4")`
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stage = ""
        self._stage_began, self._stage_first = 0.0, 0
        self._next_log = _LOG_EVERY_S
        self._bar: Any = None
        self._context = ExitStack()

    def __enter__(self) -> Progress:
        self._context.enter_context(progress_listener(self.show))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        if self._bar is not None:
            self._bar.stop()

    def show(self, stage: str, done: int, total: int | None) -> None:
        """Take one report."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_began, self._stage_first = stage, now, done  # a resumed job starts in the middle
            if self._bar is not None:
                self._bar.reset(self._bar.task_ids[0], description=stage, total=total)
        if now - self._began < _QUIET_S:
            return
        if not sys.stderr.isatty():
            self._log(done, total, now)
            return
        if self._bar is None:
            self._bar = self._make_bar()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def _make_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        what = TextColumn("{task.description}")
        columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
        bar = Bar(*columns, console=Console(stderr=True), transient=True)
        bar.add_task(self._stage, total=None)
        bar.start()
        return bar

    def _log(self, done: int, total: int | None, now: float) -> None:
        if now - self._began < self._next_log:
            return
        self._next_log = now - self._began + _LOG_EVERY_S
        rate = max(done - self._stage_first, 1) / max(now - self._stage_began, 1e-3)
        rest = "" if total is None else f" of {total}, about {max(0.0, (total - done) / rate):.0f} s left"
        print(f"{self._stage}: {done}{rest}", file=sys.stderr, flush=True)
