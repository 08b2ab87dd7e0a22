"""The encoder thread: order, back-pressure, faults, ending."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from talkingface.api.encode import QUEUE_FRAMES, EncoderThread
from talkingface.core.types import Frames


class _Sink:
    def __init__(self, fail_at: int | None = None, wait_s: float = 0.0) -> None:
        self.seen: list[int] = []
        self._fail_at, self._wait_s = fail_at, wait_s

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None = None) -> None:
        time.sleep(self._wait_s)
        if len(self.seen) == self._fail_at:
            raise OSError(28, "full")
        self.seen.append(int(rgb[0, 0, 0]))


def _frames(count: int, start: int = 0) -> Frames:
    rgb = np.zeros((count, 2, 2, 3), np.uint8) + np.arange(start, start + count, dtype=np.uint8)[:, None, None, None]
    return Frames(rgb=rgb, start=start)


def _no_thread_left() -> bool:
    return not any(thread.name == "encoder" for thread in threading.enumerate())


def test_everything_arrives_in_order() -> None:
    sink = _Sink()
    with EncoderThread(sink) as encoder:
        for start in range(0, 90, 30):
            encoder.put(_frames(30, start))
    assert sink.seen == list(range(90)) and _no_thread_left()


def test_the_queue_is_bounded() -> None:
    sink = _Sink(wait_s=0.002)
    with EncoderThread(sink) as encoder:
        encoder.put(_frames(50))
        assert len(sink.seen) >= 50 - QUEUE_FRAMES - 1


def test_faults_of_the_sink_reach_the_caller() -> None:
    with pytest.raises(OSError, match="full"), EncoderThread(_Sink(fail_at=3)) as encoder:
        for _ in range(100):
            encoder.put(_frames(4))
    with pytest.raises(OSError, match="full"), EncoderThread(_Sink(fail_at=1)) as encoder:
        encoder.put(_frames(2))
    assert _no_thread_left()


def test_an_interrupt_ends_the_thread_and_drops_the_queue() -> None:
    sink = _Sink(wait_s=0.01)
    with pytest.raises(KeyboardInterrupt), EncoderThread(sink) as encoder:
        encoder.put(_frames(10))
        raise KeyboardInterrupt
    assert _no_thread_left() and len(sink.seen) < 10
