"""Log-mel columns against an independent computation, and equality for any split."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from talkingface.audio.mel import (
    FLOOR_DB,
    LevelTracker,
    MelStream,
    hz_to_mel,
    log_mel,
    mel_filters,
    mel_to_hz,
    normalise,
)


@pytest.fixture()
def noise() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.1, 16000).astype(np.float32)


def test_columns_equal_a_direct_fourier_sum(noise: np.ndarray) -> None:
    columns = log_mel(noise)
    k = np.arange(257)[:, None]
    n = np.arange(400)[None]
    window = scipy.signal.get_window("hann", 400, fftbins=True)
    for j in (0, 17, 97):
        part = noise[160 * j : 160 * j + 400].astype(np.float64) * window * 2 / window.sum()
        power = np.abs((part * np.exp(-2j * np.pi * k * n / 512)).sum(axis=1)) ** 2
        expected = 10 * np.log10(mel_filters().astype(np.float64) @ power)
        np.testing.assert_allclose(columns[j], expected, atol=2e-3)


def test_a_sine_peaks_in_its_band_at_its_level() -> None:
    t = np.arange(16000) / 16000
    hz = 1000.0
    columns = log_mel((0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32))
    centres = mel_to_hz(np.linspace(hz_to_mel(50.0), hz_to_mel(7600.0), 82))[1:-1]
    best = int(columns.mean(axis=0).argmax())
    assert abs(centres[best] - hz) < 40
    assert columns[:, best].mean() == pytest.approx(-6.0, abs=3.0)


def test_silence_is_the_floor_and_every_band_hears_noise(noise: np.ndarray) -> None:
    assert (log_mel(np.zeros(1000, np.float32)) == FLOOR_DB).all()
    assert (log_mel(noise).mean(axis=0) > -60).all()
    assert (mel_filters().sum(axis=1) > 0.5).all()


def test_short_input_gives_no_column() -> None:
    assert log_mel(np.zeros(399, np.float32)).shape == (0, 80)
    assert log_mel(np.zeros(400, np.float32)).shape == (1, 80)


def test_stream_gives_one_column_per_hop(noise: np.ndarray) -> None:
    stream = MelStream()
    parts = [stream.push(noise[i : i + 1600]) for i in range(0, 16000, 1600)]
    whole = log_mel(np.concatenate([np.zeros(240, np.float32), noise]))
    assert sum(map(len, parts)) == 100
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-3)
    with pytest.raises(ValueError, match="multiple of 160"):
        stream.push(noise[:100])


def test_gain_does_not_matter_after_a_while(noise: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    voice = np.tile(noise, 20) * np.repeat(rng.uniform(0.2, 1.0, 80), 4000).astype(np.float32)
    late = []
    for gain in (0.3, 3.0):
        columns = log_mel(voice * np.float32(gain))
        late.append(normalise(columns, LevelTracker().push(columns))[-100:])
    assert np.abs(late[0] - late[1]).max() < 0.1


def test_level_never_lifts_a_quiet_room() -> None:
    quiet = np.full((3000, 80), -90.0, np.float32)
    levels = LevelTracker().push(quiet)
    assert levels[-1] == LevelTracker.MIN_DB
    assert normalise(quiet, levels)[-1].max() < 0
