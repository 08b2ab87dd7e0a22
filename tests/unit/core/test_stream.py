"""Windows give the same cuts for any split."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkingface.core.errors import InputError
from talkingface.core.stream import ordered_map, ordered_map_with, read_ahead, windows


def _split(values: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(values, sorted(min(cut, len(values)) for cut in cuts))


@given(
    length=st.integers(0, 60), past=st.integers(0, 7), future=st.integers(0, 7), hop=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)  # fmt: skip
def test_any_split_gives_equal_windows_with_true_context(
    length: int, past: int, future: int, hop: int, cuts: list[int]
) -> None:
    stream = np.arange(1, length + 1, dtype=np.float32)[:, None]
    found = list(windows(_split(stream, cuts), past, future, hop))
    padded = np.concatenate([np.zeros((past, 1)), stream, np.zeros((future + hop, 1))]).astype(np.float32)
    assert [window.start for window in found] == list(range(0, length, hop))
    assert sum(window.valid for window in found) == length
    for window in found:
        np.testing.assert_array_equal(window.values, padded[window.start : window.start + past + hop + future])


def test_a_window_comes_as_soon_as_its_future_is_there() -> None:
    pulled = 0

    def pieces():
        nonlocal pulled
        for _ in range(10):
            pulled += 1
            yield np.zeros(2)

    next(windows(pieces(), 4, 2, 2))
    assert pulled == 2


def test_memory_stays_flat() -> None:
    for window in windows((np.zeros(1000) for _ in range(50)), 10, 10, 100):
        assert window.values.base is None  # a copy, not a view that keeps the whole stream alive


def test_wrong_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="does not continue"):
        list(windows([np.zeros((3, 2)), np.zeros((3, 3))], 1, 1, 1))
    with pytest.raises(ValueError, match="hop"):
        list(windows([np.zeros(3)], 0, 0, 0))


@pytest.mark.parametrize("workers", (1, 3))
def test_results_come_in_order_and_no_further_than_they_are_taken(workers: int) -> None:
    taken: list[int] = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number * number, items(), workers)
    assert next(results) == 0 and len(taken) == workers + 1
    assert list(results) == [number * number for number in range(1, 20)]


def test_without_workers_a_result_comes_before_the_next_item_is_read() -> None:
    taken: list[int] = []

    def items():
        for number in range(5):
            taken.append(number)
            yield number

    own = threading.get_ident()
    for number, (result, thread) in enumerate(ordered_map(lambda k: (k * k, threading.get_ident()), items(), 0)):
        assert (result, thread, taken[-1]) == (number * number, own, number)


@pytest.mark.parametrize("workers", (0, 2))
def test_results_that_nobody_takes_leave_no_threads(workers: int) -> None:
    before = set(threading.enumerate())
    results = ordered_map(lambda number: number, range(20), workers)
    next(results)
    results.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("workers", (0, 2))
def test_an_error_comes_in_the_place_of_its_result(workers: int) -> None:
    results = ordered_map(lambda number: 1 / number, [1, 2, 0, 4], workers)
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("workers", (0, 3))
def test_tools_are_made_for_each_stream_and_never_shared(workers: int) -> None:
    made: list[list[int]] = []

    def tool() -> list[int]:
        made.append([])
        return made[-1]

    def use(own: list[int], item: int) -> int:
        own.append(item)
        return item * item

    assert list(ordered_map_with(tool, use, range(50), workers)) == [k * k for k in range(50)]
    assert len(made) == max(1, workers) and sorted(item for own in made for item in own) == list(range(50))


def test_items_are_read_ahead_in_their_order_and_no_further():
    read = []

    def items() -> Iterator[int]:
        for number in range(10):
            read.append(number)
            yield number

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 0
    ahead.close()
    assert len(read) <= 4, "one was given, three wait"
    assert list(read_ahead(iter(range(5)), 2)) == [0, 1, 2, 3, 4]
    assert list(read_ahead(iter(()), 2)) == []


def test_an_error_comes_where_its_item_would_have_come():
    def items() -> Iterator[int]:
        yield 1
        raise InputError("broken here")

    ahead = read_ahead(items(), 4)
    assert next(ahead) == 1
    with pytest.raises(InputError, match="broken here"):
        next(ahead)
