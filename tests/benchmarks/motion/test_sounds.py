"""The sounds that the measurements make: levels, ratios, bands, and what is kept of a voice."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.motion import sounds
from benchmarks.motion.sounds import RATE_HZ
from talkingface.core.lags import correlation
from talkingface.metrics.sync import speech_envelope
from voices import make_voice


def level(samples: np.ndarray) -> float:
    return 20 * float(np.log10(np.sqrt(np.square(samples).mean())))


def power(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return float(spectrum[(hz >= low_hz) & (hz < high_hz)].sum())


@pytest.mark.parametrize("make", [sounds.room_noise, sounds.music, lambda *given: sounds.coloured_noise(*given, 2.0)])
def test_levels_are_those_asked_for_and_seeds_repeat(make) -> None:
    sound = make(2.0, 3, -25.0)
    assert sound.dtype == np.float32 and len(sound) == 2 * RATE_HZ
    assert level(sound) == pytest.approx(-25, abs=0.01)
    np.testing.assert_array_equal(sound, make(2.0, 3, -25.0))
    assert correlation(sound, make(2.0, 4, -25.0)) < 0.9


def test_breath_swells_and_music_goes_on() -> None:
    blocks = np.square(sounds.breath(8.0, 1, -30.0)[: 8 * RATE_HZ].reshape(-1, 800)).mean(axis=1)
    assert np.percentile(blocks, 95) == pytest.approx(1e-3, rel=0.5) and np.percentile(blocks, 10) < 1e-6
    blocks = np.square(sounds.music(8.0, 1, -20.0).reshape(-1, 8000)).mean(axis=1)
    assert blocks.min() > 1e-3
    assert np.abs(sounds.cough(3.0, 1, -6.0)).max() <= 1


def test_noise_lies_so_far_below_the_speech() -> None:
    speech = np.concatenate([np.zeros(4 * RATE_HZ, np.float32), 0.1 * np.ones(RATE_HZ, np.float32)])
    noise = sounds.coloured_noise(1.0, 1, -60.0, 0.0)
    added = sounds.with_noise(speech, noise, 5.0) - speech
    assert level(added) == pytest.approx(-20 - 5, abs=0.1), "pauses do not count"
    assert np.abs(sounds.with_noise(8 * speech, noise, -20.0)).max() <= 1
    voices = [make_voice(0.5, 1), 0.1 * make_voice(0.7, 2)]
    assert len(sounds.babble(voices, 1.0)) == RATE_HZ


def test_telephones_pass_a_band_and_halls_ring() -> None:
    noise = sounds.coloured_noise(1.0, 1, -20.0, 0.0)
    heard = sounds.telephone(noise)
    assert len(heard) == len(noise)
    assert power(heard, 500, 3000) > 0.8 * power(noise, 500, 3000)
    assert power(heard, 0, 150) < 1e-3 * power(noise, 0, 150)
    assert power(heard, 4500, 8000) < 1e-3 * power(noise, 4500, 8000)
    click = np.zeros(RATE_HZ, np.float32)
    click[0] = 0.5
    rung = sounds.in_hall(click, 1)
    assert level(rung[1600:3200]) > level(rung[6400:8000]) + 10


def test_whispers_keep_the_rhythm_and_lose_the_voice() -> None:
    voice = make_voice(2.0)
    whisper = sounds.whispered(voice, 1)
    assert correlation(speech_envelope(voice, 25), speech_envelope(whisper, 25)) > 0.8

    def tonal(samples: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(samples[: 2 * RATE_HZ])) ** 2
        return float(spectrum[240::240][:12].sum() / spectrum[360::240][:12].sum())

    assert tonal(voice) > 100 and tonal(whisper) < 10
    assert len(sounds.as_child(voice)) == len(voice) * 4 // 5
    assert len(sounds.together(voice, voice[:1000])) == 1000
