"""Progress of long work, reported to a listener without an argument through all layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, "int | None"], None]
"""Called with what is being done ("tracking the face"), units done, and units in all (None: not known)."""

_listener: ContextVar[Listener | None] = ContextVar("talkingface_progress", default=None)


def report_progress(stage: str, done: int, total: int | None) -> None:
    """Pass the progress of `stage` to the listener, if there is one; call it in the thread that began the work."""
    listener = _listener.get()
    if listener is not None:
        listener(stage, done, total)


@contextmanager
def progress_listener(listener: Listener) -> Iterator[None]:
    """Report all progress inside the block to `listener`.

    Example: `with progress_listener(lambda stage, done, total: print(stage, done)): animation.save("out.mp4")`
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
