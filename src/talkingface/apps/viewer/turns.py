"""Who draws next, where several pages ask: one at a time, and of each page only its newest wish."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

_PAGES_KEPT = 64


class Turns:
    """Turns at the renderer. A page that waits keeps its place when a newer wish of it replaces the waiting one.

    Example:
        with turns.take("page 1", 7) as mine:
            if mine:
                draw()
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._ended = False
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._waiting: dict[str, int] = {}

    @contextmanager
    def take(self, page: str, number: int) -> Iterator[bool]:
        """Wait for a turn; False, at once, when the page has asked for something newer, or everything ends."""
        mine = self._wait(page, number)
        try:
            yield mine
        finally:
            if mine:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _wait(self, page: str, number: int) -> bool:
        with self._changed:
            if number <= self._newest.get(page, -1):
                return False
            self._newest[page] = number
            self._newest.move_to_end(page)
            while len(self._newest) > _PAGES_KEPT:
                self._newest.popitem(last=False)
            self._waiting[page] = number
            self._changed.notify_all()
            while not self._ended and self._waiting.get(page) == number:
                if not self._busy and next(iter(self._waiting)) == page:
                    del self._waiting[page]
                    self._busy = True
                    return True
                self._changed.wait()
            return False

    def end(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
