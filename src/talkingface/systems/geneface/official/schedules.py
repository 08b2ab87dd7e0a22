"""Learning rates of the published trainings, by step."""

from __future__ import annotations

import math

RATES = {
    "nets": 5e-4,
    "grids": 5e-3,
    "attention": 2.5e-3,
}
"""First rates of the groups of the renderers' parameters."""
_DECAY_STEPS, _FLOOR, _WARMUP, _SYNC_STEPS = 250_000, 1e-7, 1000, 40_000


def exponential(rate: float, step: int) -> float:
    """A tenth every 250 000 steps: the renderers' parameters."""
    return rate * 0.1 ** (step / _DECAY_STEPS)


def warmed_up(step: int, rate: float = 5e-4, warmup: int = _WARMUP) -> float:
    """Linear up to the warm-up's end, then exponential, never under 1e-7: audio to motion, and to pose."""
    grown = rate * step / warmup if step <= warmup else exponential(rate, step)
    return max(grown, _FLOOR)


def cosine(step: int, rate: float = 5e-4, steps: int = _SYNC_STEPS) -> float:
    """Down to zero in `steps` steps: the sync expert."""
    return rate * 0.5 * (1 + math.cos(math.pi * step / steps))
