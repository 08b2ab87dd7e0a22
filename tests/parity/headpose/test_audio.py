"""Sound as the original hears it: cepstral coefficients, their windows, the resampler."""

from __future__ import annotations

import re

import numpy as np

from parity.fixtures import Fixture, load_fixture
from talkingface.audio.mfcc import frame_windows, mfcc
from talkingface.audio.resample import resample_kaiser


def times(fixture: Fixture, rate_hz: int) -> np.ndarray:
    """The seconds at which the recipe's signal was taken: n / rate for "n = 0..LAST"."""
    return np.arange(int(re.search(r"n = 0\.\.(\d+)", fixture.inputs["signal"])[1]) + 1) / rate_hz


def test_mfcc():
    fixture = load_fixture("headpose", "mfcc")
    t = times(fixture, fixture.config["sample_rate"])
    signal = 0.3 * np.sin(2 * np.pi * (200 * t + 150 * t**2)) + 0.2 * np.sin(2 * np.pi * (900 * t - 100 * t**2))
    signal = (signal + 0.1 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)
    padding = fixture.config["pad_samples_each_side"]
    fixture.assert_close("mfcc_unpadded", mfcc(signal), 1e-5)
    fixture.assert_close("mfcc_padded", mfcc(np.pad(signal, padding)), 1e-5)
    fixture.assert_close("windows", frame_windows(signal, padding=padding), 1e-5)


def test_resampler():
    fixture = load_fixture("headpose", "resample")
    rates = fixture.config["from"], fixture.config["to"]
    t = times(fixture, rates[0])
    signal = 0.3 * np.sin(2 * np.pi * (200 * t + 9000 * t**2)) + 0.1 * np.sin(2 * np.pi * 7300 * t)
    signal = (signal + 0.1 * np.sin(2 * np.pi * 11000 * t)).astype(np.float32)
    fixture.assert_close("resampled", resample_kaiser(signal, *rates), 1e-5)
