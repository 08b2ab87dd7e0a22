"""Progress of long work on stderr: nothing for two seconds, then a bar with time left, or plain lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

_QUIET_S = 2.0
_LOG_EVERY_S = 10.0


class Progress:
    """Call with (done, total or None); use as a context manager so that the terminal is left clean.

    Example: `with Progress("frames") as progress: animation.save("out.mp4", progress=progress)`
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start = time.monotonic()
        self._first = 0
        self._bar: Any = None
        self._next_log = _LOG_EVERY_S

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int | None) -> None:
        elapsed = time.monotonic() - self._start
        if not self._first:
            self._first = done  # a resumed job starts in the middle
        if elapsed < _QUIET_S:
            return
        if not sys.stderr.isatty():
            self._log(done, total, elapsed)
            return
        if self._bar is None:
            self._bar = self._make_bar()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def _make_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn(self._unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
        bar = Bar(*columns, console=Console(stderr=True), transient=True)
        bar.add_task(self._unit, total=None)
        bar.start()
        return bar

    def _log(self, done: int, total: int | None, elapsed: float) -> None:
        if elapsed < self._next_log:
            return
        self._next_log = elapsed + _LOG_EVERY_S
        rate = max(done - self._first, 1) / elapsed
        left = "" if total is None else f" of {total}, about {max(0.0, (total - done) / rate):.0f} s left"
        print(f"{self._unit}: {done}{left}", file=sys.stderr, flush=True)
