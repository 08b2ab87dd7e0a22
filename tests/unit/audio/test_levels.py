"""Silence and steady noise are no voice."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.audio.levels import Levels
from voices import make_voice

RATE_HZ = 16000
T = np.arange(2 * RATE_HZ) / RATE_HZ
RNG = np.random.default_rng(0)


def have_voice(samples: np.ndarray, piece: int = 3777) -> bool:
    levels = Levels(RATE_HZ)
    for start in range(0, len(samples), piece):
        levels.take(samples[start : start + piece].astype(np.float32))
    return levels.have_voice()


@pytest.mark.parametrize(
    "samples",
    [np.zeros(2 * RATE_HZ), 0.1 * RNG.normal(size=len(T)), 0.3 * np.sin(2 * np.pi * 50 * T), 1e-5 * make_voice(2)],
)
def test_silence_noise_and_hum_have_none(samples: np.ndarray) -> None:
    assert not have_voice(samples)


def test_a_voice_is_one_in_noise_too() -> None:
    voice = make_voice(2.0)
    assert have_voice(voice) and have_voice(0.01 * voice)
    assert have_voice(voice + 0.3 * voice.std() * RNG.normal(size=len(voice)))
    assert have_voice(np.concatenate([np.zeros(5 * RATE_HZ), voice]))
    assert have_voice(voice, 160) == have_voice(voice, 9999)


def test_very_short_sound_is_not_judged() -> None:
    assert have_voice(np.zeros(RATE_HZ // 4))
