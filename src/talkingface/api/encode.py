"""Encoding beside drawing: frames go through a short queue to a thread that writes them, so two cores are busy."""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Protocol

import numpy as np

from talkingface.core.types import Frames

QUEUE_FRAMES = 16
_POLL_S = 0.2


class FrameSink(Protocol):
    """What takes finished pictures one by one: `video.write.VideoWriter` and its like."""

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Take one picture uint8 [H, W, 3] and its alpha uint8 [H, W]."""
        ...


class EncoderThread:
    """Feeds `sink` from a thread. Use as a context manager: leaving waits until everything is written.

    A fault in the sink is raised by the next `put` or on leaving. When the block ends with an exception (Ctrl-C too),
    what is queued is dropped and the thread has ended before the exception goes on.

    Example: `with EncoderThread(writer) as encoder: encoder.put(frames)`
    """

    def __init__(self, sink: FrameSink) -> None:
        self._sink = sink
        self._queue: queue.Queue[tuple[np.ndarray, np.ndarray | None] | None] = queue.Queue(QUEUE_FRAMES)
        self._fault: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)

    def __enter__(self) -> EncoderThread:
        self._thread.start()
        return self

    def put(self, frames: Frames) -> None:
        """Queue all pictures of `frames`; waits while the queue is full."""
        for index, rgb in enumerate(frames.rgb):
            self._put((rgb, None if frames.mask is None else frames.mask[index]))

    def _put(self, item: tuple[np.ndarray, np.ndarray | None] | None) -> None:
        while True:
            if self._fault is not None:
                raise self._fault
            try:
                return self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    item = self._queue.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if item is None:
                    return
                self._sink.write(*item)
        except BaseException as fault:  # handed to the caller's thread, which raises it
            self._fault = fault

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._put(None)
                self._thread.join()
        finally:
            self._stopped.set()
            self._thread.join()
        if kind is None and self._fault is not None:
            raise self._fault
