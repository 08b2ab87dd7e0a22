"""Times, samples and frames."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkingface.core import timing

RATES = st.sampled_from([24.0, 25.0, 29.97, 30.0, 59.94, 60.0, 23.976, 22.13, 12.5])


@pytest.mark.parametrize(
    ("fps", "exact"),
    [(25, Fraction(25)), (29.97, Fraction(30000, 1001)), (29.97002997, Fraction(30000, 1001)),
     (59.94, Fraction(60000, 1001)), (14.985, Fraction(15000, 1001)), (23.976, Fraction(24000, 1001)),
     (30.0, Fraction(30)), (22.13, Fraction(2213, 100)), (Fraction(30000, 1001), Fraction(30000, 1001))],
)  # fmt: skip
def test_rates_are_the_ones_meant(fps: float, exact: Fraction) -> None:
    assert timing.as_rate(fps) == exact


@pytest.mark.parametrize("fps", [0, -25, float("nan"), float("inf")])
def test_impossible_rates_are_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        timing.as_rate(fps)


@given(frame=st.integers(0, 10_000_000), fps=RATES)
def test_a_frame_begins_in_its_own_time(frame: int, fps: float) -> None:
    assert timing.time_to_frame(timing.frame_to_time(frame, fps), fps) == frame


@given(frame=st.integers(0, 1_000_000), fps=RATES, rate_hz=st.sampled_from([8000, 16000, 22050, 44100, 48000]))
def test_samples_and_frames_agree(frame: int, fps: float, rate_hz: int) -> None:
    sample = timing.sample_of_frame(frame, fps, rate_hz)
    assert abs(Fraction(sample, rate_hz) - Fraction(frame) / timing.as_rate(fps)) <= Fraction(1, rate_hz)
    assert timing.frame_of_sample(sample + 1, fps, rate_hz) == frame


def test_durations_count_frames_that_begin_inside() -> None:
    assert timing.num_frames(1.0, 25) == 25
    assert timing.num_frames(1.01, 25) == 26
    assert timing.num_frames(0.1 + 0.2, 10) == 3
    assert timing.num_frames(3600, 29.97) == 107893
    assert timing.num_frames(0, 25) == 0
    assert timing.num_samples(0.5, 16000) == 8000


def test_frame_position_between_clocks() -> None:
    assert timing.frame_position(3, 50, 25) == (1, 0.5)
    assert timing.frame_position(30, 30, 25) == (25, 0.0)
