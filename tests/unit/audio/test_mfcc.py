from __future__ import annotations

import numpy as np
import pytest

from talkingface.audio.mfcc import FRAME_PADDING, frame_windows, mfcc
from voices import make_voice


@pytest.mark.parametrize(("samples", "rows"), [(1, 1), (400, 1), (401, 2), (560, 2), (561, 3), (16000, 99)])
def test_number_of_rows(samples, rows):
    assert mfcc(np.ones(samples)).shape == (rows, 13)


def test_silence_is_zero_but_for_the_energy():
    rows = mfcc(np.zeros(4000))
    assert np.abs(rows[:, 1:]).max() < 1e-12
    assert np.allclose(rows[:, 0], np.log(np.finfo(float).eps))


def test_energy_is_the_logarithm_of_the_frames_power():
    sound = np.zeros(400)
    sound[100] = 1.0  # after pre-emphasis 1 and -0.97: a flat spectrum but for the tilt
    power = np.abs(np.fft.rfft(np.r_[1.0, -0.97], 512)) ** 2 / 512
    assert mfcc(sound)[0, 0] == pytest.approx(np.log(power.sum()))


def test_long_sound_is_cut_into_blocks_without_a_seam(monkeypatch):
    voice = make_voice(2.0)
    whole = mfcc(voice)
    monkeypatch.setattr("talkingface.audio.mfcc._BLOCK", 7)
    assert np.allclose(mfcc(voice), whole, rtol=0, atol=1e-9)


def test_windows_are_centred_on_their_frames():
    voice = make_voice(1.6)
    windows = frame_windows(voice)
    rows = mfcc(np.pad(voice, FRAME_PADDING))
    assert windows.shape == (len(rows) // 4 - 6, 28, 12) and windows.dtype == np.float32
    assert len(windows) in (39, 40)
    assert np.allclose(windows[5], rows[20:48, 1:], atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 300, 900])
def test_too_little_sound_gives_no_or_few_windows(samples):
    windows = frame_windows(np.zeros(samples, np.float32))
    assert windows.shape[1:] == (28, 12) and len(windows) <= 1


def test_what_is_not_mono_is_refused():
    with pytest.raises(ValueError, match=r"\[N\]"):
        mfcc(np.zeros((2, 800)))
    with pytest.raises(ValueError, match="at least one"):
        mfcc(np.zeros(0))
