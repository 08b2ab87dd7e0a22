"""Batches made ahead of time in background threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

Batch = dict[str, Tensor]


class Prefetcher:
    """Calls `make(step)` for `start`, `start + 1`, ... up to `end` in `workers` threads; `next` gives them in order.

    An exception in `make` is raised by the `next` of that step. A context manager.
    """

    def __init__(self, make: Callable[[int], Batch], start: int, end: int, workers: int = 1, pin: bool = False) -> None:
        self._make, self._next, self._end, self._pin = make, start, end, pin
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        self._waiting: deque[Future[Batch]] = deque()
        for _ in range(workers + 1):
            self._submit()

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def next(self) -> Batch:
        """The batch of the next step."""
        self._submit()
        return self._waiting.popleft().result()

    def _submit(self) -> None:
        if self._next < self._end:
            self._waiting.append(self._pool.submit(self._one, self._next))
            self._next += 1

    def _one(self, step: int) -> Batch:
        batch = self._make(step)
        return {key: value.pin_memory() for key, value in batch.items()} if self._pin else batch


def to_device(batch: Batch, device: torch.device, channels_last: bool) -> Batch:
    """The batch on `device`; with `channels_last`, tensors of four dimensions in that memory format."""
    moved = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    if channels_last:
        for key, value in moved.items():
            if value.ndim == 4:
                moved[key] = value.contiguous(memory_format=torch.channels_last)
    return moved
