"""Lags and offsets that are known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.core.lags import best_lag, correlation
from talkingface.metrics.sync import drift_slope, mouth_offset, offset_per_minute, speech_envelope


def test_correlation_of_still_signal_is_zero() -> None:
    assert correlation(np.ones(20), np.arange(20.0)) == 0.0
    assert correlation(np.arange(20.0), 3 - 2 * np.arange(20.0)) == pytest.approx(-1)


@pytest.mark.parametrize("late", [-3, 0, 2])
def test_best_lag_finds_a_shift(late: int) -> None:
    signal = np.random.default_rng(0).normal(size=200)
    lag, value = best_lag(signal[20:150], signal[20 - late : 150 - late], 3)
    assert lag == late
    assert value == pytest.approx(1)


def test_mouth_offset_of_a_late_mouth() -> None:
    rng = np.random.default_rng(1)
    opening = np.repeat(rng.uniform(0, 1, 40), 3200)
    samples = (opening * rng.normal(0, 0.1, len(opening))).astype(np.float32)
    gap = opening[:: 16000 // 25]
    late = np.concatenate([np.zeros(3), gap])[: len(gap)]
    offset, value = mouth_offset(late, samples, 25.0)
    assert offset == pytest.approx(0.12, abs=0.04)
    assert value > 0.5
    assert mouth_offset(gap, samples, 25.0)[0] == pytest.approx(0.0, abs=0.04)


def test_envelope_lies_on_the_video_clock() -> None:
    samples = np.zeros(32000, np.float32)
    samples[16000:] = np.random.default_rng(2).normal(0, 0.1, 16000)
    envelope = speech_envelope(samples, 25.0)
    assert envelope.shape == (50,)
    assert envelope[:23].max() < envelope[27:].min()
    assert np.ptp(envelope[:23]) < 1e-6  # silence is silent from the first frame


def spoken(seconds: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A mouth's opening at 1 kHz, and noise as loud as it: float [1000 s] and float32 [16000 s]."""
    rng = np.random.default_rng(seed)
    opening = np.repeat(rng.uniform(0, 1, int(seconds * 5)), 200)
    samples = np.repeat(opening, 16) * rng.normal(0, 0.1, len(opening) * 16)
    return opening, samples.astype(np.float32)


@pytest.mark.parametrize("drift_ms_per_min", [200.0, -120.0])
def test_a_mouth_that_falls_behind(drift_ms_per_min: float) -> None:
    opening, samples = spoken(150.0)
    t = np.arange(0, 150, 0.04)
    gap = np.interp(t * (1 - drift_ms_per_min / 60_000), np.arange(len(opening)) / 1000, opening)
    found = offset_per_minute(gap, samples, 25.0)
    assert [minute.start_s for minute in found.minutes] == [0.0, 60.0, 120.0]
    assert found.slope_ms_per_min == pytest.approx(drift_ms_per_min, abs=8)
    assert min(minute.correlation for minute in found.minutes) > 0.4
    middle = found.minutes[1].offset_s - drift_ms_per_min * 1.5 / 1000
    assert abs(middle) < 0.06


def test_a_short_clip_has_one_row_and_no_drift() -> None:
    opening, samples = spoken(12.0)
    found = offset_per_minute(opening[::40], samples, 25.0)
    assert len(found.minutes) == 1 and np.isnan(found.slope_ms_per_min)
    assert len(offset_per_minute(opening[:1000:40], samples[:16000], 25.0).minutes) == 1


def test_a_few_wrong_offsets_do_not_move_the_slope() -> None:
    times = np.arange(0.0, 120.0, 5.0)
    offsets = 0.03 + 0.05 / 60 * times
    offsets[[3, 11, 17]] = 0.9
    assert drift_slope(times, offsets) == pytest.approx(50, abs=1)
    assert np.isnan(drift_slope(times[:2], offsets[:2]))
