"""Random parameters that are the same each time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block torch's random numbers begin at `seed`; afterwards they go on as if nothing had been.

    They belong to the whole process: threads take turns, so that each makes the networks that it makes alone.
    """
    with _lock, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
