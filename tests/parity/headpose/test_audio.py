"""Sound as the original hears it: cepstral coefficients, their windows, the resampler."""

from __future__ import annotations

import numpy as np

from parity.fixtures import load_fixture
from talkingface.audio.mfcc import frame_windows, mfcc
from talkingface.audio.resample import resample_kaiser


def test_mfcc():
    fixture = load_fixture("headpose", "mfcc")
    signal, padding = fixture.array("signal"), fixture.config["pad_samples_each_side"]
    fixture.assert_close("mfcc_unpadded", mfcc(signal), 1e-5)
    fixture.assert_close("mfcc_padded", mfcc(np.pad(signal, padding)), 1e-5)
    fixture.assert_close("windows", frame_windows(signal, padding=padding), 1e-5)


def test_resampler():
    fixture = load_fixture("headpose", "resample")
    rates = fixture.config["from"], fixture.config["to"]
    fixture.assert_close("resampled", resample_kaiser(fixture.array("signal"), *rates), 1e-5)
