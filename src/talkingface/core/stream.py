"""Windows over a stream: the one way in which a stage gets past and future.

A recurrent or convolutional stage that works on whatever pieces arrive gives results that depend on the split. Here any
split is first cut again into fixed hops with context, so equal input gives exactly equal output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Made = TypeVar("Made")
Tool = TypeVar("Tool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`values` [past + hop + future, ...]; row `past` is stream row `start`; `valid` of the hop's rows are real."""

    values: np.ndarray
    start: int
    valid: int


def windows(pieces: Iterable[np.ndarray], past: int, future: int, hop: int) -> Iterator[Window]:
    """Cut a stream (rows along axis 0, split in any way) into hops of `hop` rows with context.

    Before the start and after the end the context is zeros. The windows have one shape; only the last may have
    `valid < hop`. An empty stream gives none. A window is given as soon as its future rows are there, so the delay is
    `hop + future` rows. Raises ValueError if the pieces differ in shape or dtype beyond axis 0.

    Example: `[w.start for w in windows([np.zeros(5)], 2, 1, 2)]` is `[0, 2, 4]`.
    """
    if past < 0 or future < 0 or hop < 1:
        raise ValueError("past and future must not be negative, hop must be at least 1")
    held: list[np.ndarray] = []
    num_held = 0  # rows in `held`, the first of which is stream row `start - past`
    start = 0
    length = past + hop + future
    for piece in pieces:
        if not held:
            held, num_held = [np.zeros((past, *piece.shape[1:]), piece.dtype)], past
        if piece.shape[1:] != held[0].shape[1:] or piece.dtype != held[0].dtype:
            raise ValueError(f"piece {piece.dtype}{piece.shape} does not continue {held[0].dtype}{held[0].shape}")
        held.append(piece)
        num_held += len(piece)
        if num_held < length:
            continue
        rows = np.concatenate(held)
        first = 0
        while num_held - first >= length:
            yield Window(values=rows[first : first + length].copy(), start=start, valid=hop)
            first, start = first + hop, start + hop
        held, num_held = [rows[first:].copy()], num_held - first
    yield from _rest(held, past, length, hop, start)


def _rest(held: list[np.ndarray], past: int, length: int, hop: int, start: int) -> Iterator[Window]:
    """The windows that reach past the end, filled up with zeros."""
    if not held:
        return
    rows = np.concatenate(held)
    while (real := len(rows) - past) > 0:
        values = np.zeros((length, *rows.shape[1:]), rows.dtype)
        taken = min(len(rows), length)
        values[:taken] = rows[:taken]
        yield Window(values=values, start=start, valid=min(hop, real))
        rows, start = rows[hop:], start + hop


def read_ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """The items, read by a thread of their own, at most `count` before they are asked for.

    An error comes where its item would have come. The thread ends with the items, or with the generator.

    Example: `list(read_ahead(iter(range(4)), 2))` is `[0, 1, 2, 3]`.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]


def ordered_map(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """`make(item)` for each item, on `workers` threads, in the order of the items.

    At most `workers` are in the making or waiting to be taken, so memory stays flat and `items` is read only as far as
    results are taken: one is given when an item for its place has come. With `workers` 0 there are no threads: each is
    made and given before the next item is read. An error of `make` is raised where its result would have come.

    Example: `list(ordered_map(lambda n: n * n, range(4), 2))` is `[0, 1, 4, 9]`.
    """
    if not workers:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for item in items:
            if len(waiting) == workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(make, item))
        while waiting:
            yield waiting.popleft().result()


def ordered_map_with(
    make_tool: Callable[[], Tool], make: Callable[[Tool, Item], Made], items: Iterable[Item], workers: int
) -> Iterator[Made]:
    """`ordered_map` whose `make(tool, item)` also gets a tool that no other thread uses meanwhile, such as buffers.

    One tool a worker is made (one without workers), for this stream alone: who shares the maker between streams shares
    no tool.
    """
    tools: SimpleQueue[Tool] = SimpleQueue()
    for _ in range(max(1, workers)):
        tools.put(make_tool())

    def with_tool(item: Item) -> Made:
        tool = tools.get()
        try:
            return make(tool, item)
        finally:
            tools.put(tool)

    return ordered_map(with_tool, items, workers)
