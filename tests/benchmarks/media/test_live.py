"""Sound in real time, and what is said about the pictures that follow it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.media import live as bench_live
from benchmarks.media.live import PIECE, RATE_HZ, Microphone, live
from benchmarks.targets import TargetJob


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that `sleep` alone moves, in place of the module's."""
    clock = SimpleNamespace(now=100.0, process_time=lambda: 0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    clock.sleep, clock.perf_counter = sleep, lambda: clock.now
    monkeypatch.setattr(bench_live, "time", clock)
    return clock


def test_sound_comes_as_it_is_spoken_and_waits_for_who_is_late(clock: SimpleNamespace) -> None:
    microphone = Microphone(np.arange(5 * PIECE, dtype=np.float32))
    heard = []
    for piece in microphone.pieces():
        heard.append((piece, round(clock.now - microphone.started_s, 6)))
        clock.sleep(0.05 if len(heard) == 2 else 0.001)
    assert [at for _, at in heard] == [0.02, 0.04, 0.09, 0.091, 0.1]
    assert np.array_equal(np.concatenate([piece for piece, _ in heard]), np.arange(5 * PIECE))
    assert microphone.is_over


def test_the_delay_counts_from_the_beginning_of_a_frames_sound(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frame:
        def __init__(self, start: int) -> None:
            self.start = start

        def __len__(self) -> int:
            return 1

    class Made:
        fps = 25.0

        def __init__(self, face: object, pieces: object, **options: object) -> None:
            self._pieces = pieces

        def __iter__(self):
            for number, _ in enumerate(self._pieces):
                if number % 2:  # a frame for two pieces, drawn in 5 ms
                    clock.sleep(0.005)
                    yield Frame(number // 2)

    monkeypatch.setattr(bench_live.api, "fit", lambda *_, **__: None)
    monkeypatch.setattr(bench_live.api, "animate", Made)
    found = bench_live.measure(np.zeros(RATE_HZ, np.float32), 512, "low", None)
    assert (found["p50_ms"], found["max_ms"], found["frames"]) == (45.0, 45.0, 25)
    finding = live(TargetJob(data=None, limit=2))
    assert [row.met for row in finding.rows] == [True, True, None, None, None, None, None, None]
