from __future__ import annotations

import numpy as np
import pytest

from talkingface.audio.resample import resample_kaiser


def sine(hz: float, rate: int, count: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(count) / rate).astype(np.float32)


@pytest.mark.parametrize(("source", "target"), [(48000, 16000), (44100, 16000), (22050, 16000), (8000, 16000)])
def test_a_tone_keeps_its_place_and_height(source, target):
    got = resample_kaiser(sine(1000, source, source // 2), source, target)
    want = sine(1000, target, target // 2)
    inside = slice(target // 20, -target // 20)
    assert got.dtype == np.float32 and got.shape == want.shape
    # the rounded steps of the original's table make it up to 0.4 % too loud
    assert np.abs(got[inside] - want[inside]).max() < 5e-3


def test_what_the_new_rate_cannot_hold_is_removed():
    got = resample_kaiser(sine(11000, 48000, 24000), 48000, 16000)
    assert np.abs(got[400:-400]).max() < 1e-3  # -60 dB: what the rounded table reaches


def test_channels_lengths_and_equal_rates():
    stereo = np.stack([sine(300, 44100, 1000), sine(500, 44100, 1000)])
    got = resample_kaiser(stereo, 44100, 16000)
    assert got.shape == (2, 1000 * 16000 // 44100)
    assert np.array_equal(got[1], resample_kaiser(stereo[1], 44100, 16000))
    same = resample_kaiser(stereo, 16000, 16000)
    assert np.array_equal(same, stereo) and same is not stereo
    assert resample_kaiser(np.zeros(1), 48000, 16000).shape == (0,)


@pytest.mark.parametrize(("source", "target"), [(0, 16000), (16000, -1)])
def test_impossible_rates_are_refused(source, target):
    with pytest.raises(ValueError, match="above zero"):
        resample_kaiser(np.zeros(10), source, target)
