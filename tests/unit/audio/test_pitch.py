from __future__ import annotations

import numpy as np
import pytest

from talkingface.audio.pitch import track_pitch

T = np.arange(32000) / 16000


def glide(low: float, high: float) -> np.ndarray:
    """A tone of ten harmonics that rises evenly."""
    phase = 2 * np.pi * np.cumsum(np.linspace(low, high, len(T))) / 16000
    return sum((np.sin(k * phase) / k for k in range(1, 11)), np.zeros(len(T)))


@pytest.mark.parametrize("hz", [85, 120, 233, 410])
def test_a_steady_tone_has_its_frequency_everywhere(hz):
    found = track_pitch(np.sin(2 * np.pi * hz * T))
    assert found.dtype == np.float32
    assert np.abs(found - hz).max() < 0.5


def test_a_glide_is_followed():
    found = track_pitch(glide(100, 300))
    centres = 1 + 0.02 * (np.arange(len(found)) - (len(found) - 1) / 2)
    assert np.abs(found - (100 + 100 * centres)).max() < 3


def test_pauses_and_noise_have_no_pitch():
    sound = glide(150, 160)
    sound[12000:20000] = 0
    found = track_pitch(sound)
    assert (found[42:58] == 0).all() and (found[5:30] > 0).all()
    noise = np.random.default_rng(0).standard_normal(len(T))
    assert (track_pitch(noise, voicing=0.6) > 0).mean() < 0.1


def test_loudness_and_offset_do_not_matter():
    sound = glide(120, 200)
    assert np.allclose(track_pitch(sound), track_pitch(1e-3 * sound + 0.5), atol=1e-2)


def test_quiet_octaves_are_not_taken_for_the_voice():
    found = track_pitch(0.3 * np.sin(2 * np.pi * 110 * T) + np.sin(2 * np.pi * 220 * T))
    assert np.abs(found - 110).max() < 1


@pytest.mark.parametrize("samples", [0, 1, 500])
def test_too_little_sound_has_no_rows(samples):
    assert track_pitch(np.ones(samples)).shape == (0,)


def test_silence_and_bad_values():
    assert (track_pitch(np.zeros(16000)) == 0).all()
    with pytest.raises(ValueError, match="finite"):
        track_pitch(np.full(16000, np.nan))
    with pytest.raises(ValueError, match=r"mono samples \[N\]"):
        track_pitch(np.zeros((2, 16000)))
