"""Lags and offsets that are known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.metrics.sync import best_lag, correlation, mouth_offset, speech_envelope


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
