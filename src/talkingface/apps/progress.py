"""Progress of long work on stderr: nothing for two seconds, then a bar with time left, or plain lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from talkingface.core.progress import progress_listener

_QUIET_S = 2.0
_LOG_EVERY_S = 10.0


@dataclass(slots=True)
class _Stage:
    """When a stage began, at what number, and where it is; `task` is its bar."""

    began: float
    first: int
    done: int
    task: Any = None


class Progress:
    """Shows the progress reported inside the block, and leaves the terminal clean.

    Stages may lie inside others (a clip is tracked while videos are made): each goes on where it was.

    Example: `with Progress(): animation.save("out.mp4")`
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stages: dict[str, _Stage] = {}
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
        known = self._stages.get(stage)
        if known is None or done < known.done:  # a resumed job starts in the middle, and a stage may come again
            known = self._stages[stage] = _Stage(now, done, done, known and known.task)
            if known.task is not None:
                self._bar.reset(known.task, total=total)
        known.done = done
        if now - self._began < _QUIET_S:
            return
        if sys.stderr.isatty():
            self._draw(stage, known, total)
        else:
            self._log(stage, known, total, now)

    def _draw(self, stage: str, known: _Stage, total: int | None) -> None:
        if self._bar is None:
            self._bar = _make_bar()
        if known.task is None:
            known.task = self._bar.add_task(stage, total=total)
        for other in self._stages.values():
            if other.task is not None and other is not known:
                self._bar.update(other.task, visible=False)
        self._bar.update(known.task, completed=known.done, total=total, visible=True)

    def _log(self, stage: str, known: _Stage, total: int | None, now: float) -> None:
        if now - self._began < self._next_log:
            return
        self._next_log = now - self._began + _LOG_EVERY_S
        print(f"{stage}: {known.done}{_rest(known, total, now)}", file=sys.stderr, flush=True)


def _rest(known: _Stage, total: int | None, now: float) -> str:
    if total is None:
        return ""
    if known.done == known.first:
        return f" of {total}"
    left = (total - known.done) * (now - known.began) / (known.done - known.first)
    return f" of {total}, about {max(0.0, left):.0f} s left"


def _make_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    what = TextColumn("{task.description}")
    columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    bar.start()
    return bar
