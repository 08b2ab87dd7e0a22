"""The frame rate comes from the times of frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from talkingface.video.rates import frame_rate, is_variable

MS = Fraction(1, 1000)
NTSC = Fraction(30000, 1001)


def steps(fps: Fraction | float, count: int = 100, tick: Fraction = MS) -> list[int]:
    """Steps between the frames of an even clip whose clock rounds to `tick`."""
    return np.diff([round(k / Fraction(fps) / tick) for k in range(count)]).tolist()


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), 24, 25, NTSC, 30, 50, Fraction(60000, 1001), 60, 120])
@pytest.mark.parametrize("tick", [MS, Fraction(1, 90000)])
def test_even_clips_have_exact_rates_with_and_without_a_header(fps, tick):
    long = steps(Fraction(fps), 400, tick)
    assert frame_rate(long, tick, []) == fps
    assert frame_rate(long[:30], tick, [Fraction(1000), Fraction(fps)]) == fps


@pytest.mark.parametrize(
    ("measured", "stated", "fps"),
    [  # in milliseconds
        (steps(25), [Fraction(1000), None], 25),  # a browser's recording states its clock
        (steps(25), [Fraction(60000), Fraction(25)], 25),  # so does raw DV
        (steps(25, 60) + [800] * 50, [Fraction(52, 7), None], 25),  # a screen that stands still half of the time
        ([200] * 60 + steps(25, 41), [None], 25),
        ([2, 64] * 40, [Fraction(1000)], pytest.approx(30.3, abs=0.1)),  # frames in pairs
        ([40, 40, 50, 67, 33, 33, 67, 67, 34, 34, 67, 40, 34], [Fraction(1000)], 25),  # a camera in the dark
        ([4] * 100, [Fraction(250)], 120),
        ([], [None, Fraction(30)], 30),
        ([], [None, None], 25),
        ([], [Fraction(90000)], 120),
    ],
)
def test_headers_count_where_they_agree(measured: Sequence[int], stated, fps):
    assert frame_rate(measured, MS, stated) == fps


def test_a_header_keeps_the_digits_that_the_clock_does_not_have():
    odd = Fraction(2986, 100)  # a phone that drops a frame now and then
    assert frame_rate(steps(30, 100, Fraction(1, 600)), Fraction(1, 600), [odd]) == odd


def test_variable_rates_are_told_from_rounding():
    assert not is_variable(steps(NTSC)) and not is_variable([])
    assert is_variable([40, 40, 120, 40])
