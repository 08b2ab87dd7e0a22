"""The frame rate of a clip from the times of its frames: headers count only where they agree with those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from statistics import fmean, median

from talkingface.core.timing import as_rate

MOST_FPS = 120
_RUN = 4
"""Steps that are looked at together: cameras and browsers jitter from one frame to the next."""
_STILL = 2.5
"""Runs slower than so many times the quicker ones are still parts of a recording, which say nothing about its rate."""
_COMMON = [as_rate(rate) for rate in (10, 12, 12.5, 15, 20, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 100, 120)]


def frame_rate(steps: Sequence[int], tick: Fraction, stated: Iterable[Fraction | None]) -> Fraction:
    """Frames per second, at most 120, from the `steps` between neighbouring frames in units of `tick` seconds.

    The first of the `stated` rates (None: unknown) that fits is taken, because it is exact. Where none fits it is the
    measured rate, or a common one close to it. Without steps the first stated rate counts, else 25.

    Example: `frame_rate([33, 33, 34], Fraction(1, 1000), [Fraction(1000), Fraction(30000, 1001)])` is 30000/1001.
    """
    step = _typical_step(steps)
    if step is None:
        return min(next((rate for rate in stated if rate), Fraction(25)), Fraction(MOST_FPS))
    near = max(0.002 * step, 0.25)  # what is left of the clock's rounding
    fitting = next((rate for rate in stated if rate and abs(float(1 / (rate * tick)) - step) <= near), None)
    if fitting is None:
        measured = float(1 / tick) / step
        common = min(_COMMON, key=lambda rate: abs(rate / measured - 1))
        unsure = max(0.003, 1 / (step * len(steps)))  # a short clip on a coarse clock
        fitting = common if abs(common / measured - 1) <= unsure else as_rate(round(measured, 3))
    return min(fitting, Fraction(MOST_FPS))


def is_variable(steps: Sequence[int]) -> bool:
    """Whether the steps between frames differ by more than what clocks round."""
    if not steps:
        return False
    middle = median(steps)
    return any(abs(step - middle) > max(0.2 * middle, 2) for step in steps)


def _typical_step(steps: Sequence[int]) -> float | None:
    """The median step where the picture moves, as a mean over neighbouring ticks: finer than the clock."""
    if not steps:
        return None
    length = min(_RUN, len(steps))
    runs = [sum(steps[at : at + length]) / length for at in range(len(steps) - length + 1)]
    limit = _STILL * sorted(runs)[len(runs) // 4]
    moving = [at for at, run in enumerate(runs) if run <= limit]
    run = median(runs[at] for at in moving)
    single = [steps[at] for at in moving]
    middle = median(single)
    if abs(middle - run) > 0.4 * run:  # frames that come in bursts have no typical step of their own
        return run
    return fmean(step for step in single if abs(step - middle) <= 1)
