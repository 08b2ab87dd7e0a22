"""The same words in another room, over another line, among other sounds: changes of samples, for training.

All functions take mono float32 [N] at 16 kHz and a NumPy generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.signal import butter, oaconvolve, sosfilt

RATE_HZ = 16000
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 5, 9), (2, 5, 9))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What may be heard beside speech: other voices, and songs without one."""

    voices: Sequence[np.ndarray]
    songs: Sequence[np.ndarray]


def heard_differently(samples: np.ndarray, around: Surroundings, rng: np.random.Generator) -> np.ndarray:
    """Speech with, by chance, another room, other sounds, and a telephone line."""
    if rng.random() < 0.35:
        samples = in_room(samples, rng)
    chance = rng.random()
    if chance < 0.15 and around.voices:
        samples = mixed(samples, babble(len(samples), around.voices, rng), rng.uniform(3, 20))
    elif chance < 0.3 and around.songs:
        samples = mixed(samples, _excerpt(len(samples), around.songs, rng), rng.uniform(3, 20))
    elif chance < 0.45:
        samples = mixed(samples, coloured_noise(len(samples), rng), rng.uniform(3, 30))
    if rng.random() < 0.15:
        samples = by_telephone(samples, rng)
    return samples.astype(np.float32)


def _excerpt(count: int, sounds: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    sound = sounds[int(rng.integers(len(sounds)))]
    return np.resize(sound[int(rng.integers(0, max(1, len(sound) - RATE_HZ))) :], count)


def mixed(samples: np.ndarray, noise: np.ndarray, ratio_db: float) -> np.ndarray:
    """`noise` added so that speech lies `ratio_db` over it."""
    loud = np.sqrt(np.mean(samples**2) + 1e-12)
    return samples + noise * (loud / np.sqrt(np.mean(noise**2) + 1e-12) * 10 ** (-ratio_db / 20))


def in_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reverberation of 0.15 to 0.9 s, the direct sound where it was."""
    seconds = rng.uniform(0.15, 0.9)
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(t), np.float32) * np.exp(-6.9 * t / seconds).astype(np.float32)
    tail[: int(0.002 * RATE_HZ)] = 0
    tail *= rng.uniform(0.2, 0.9) / np.sqrt((tail**2).sum() + 1e-12)
    tail[0] = 1.0
    return oaconvolve(samples, tail)[: len(samples)]


def by_telephone(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The band of a telephone, and a little of its distortion."""
    band = butter(4, (rng.uniform(200, 350), rng.uniform(3000, 3600)), "bandpass", fs=RATE_HZ, output="sos")
    loud = np.abs(samples).max() + 1e-9
    return np.tanh(rng.uniform(0.5, 2.0) * np.asarray(sosfilt(band, samples)) / loud) * loud


def babble(count: int, voices: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Three to six voices at once."""
    sound = np.zeros(count)
    for _ in range(int(rng.integers(3, 7))):
        voice = _excerpt(count, voices, rng)
        sound += voice / (np.sqrt(np.mean(voice**2)) + 1e-6)
    return sound


def coloured_noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Steady noise that falls with frequency by a random slope."""
    length = scipy.fft.next_fast_len(count, real=True)
    spectrum = np.asarray(scipy.fft.rfft(rng.standard_normal(length, np.float32)))
    slope = np.maximum(scipy.fft.rfftfreq(length, 1 / RATE_HZ), 50) ** rng.uniform(0, 1)
    return np.asarray(scipy.fft.irfft(spectrum / slope.astype(np.float32), length))[:count]


def music(count: int, rng: np.random.Generator) -> np.ndarray:
    """Chords, a melody that wavers, bass and beats at a random tempo, without a voice."""
    sound, beat = np.zeros(count + 4 * RATE_HZ), rng.uniform(0.25, 0.8)
    base, bright = 2 ** rng.uniform(6.5, 8), rng.uniform(0.3, 0.95)
    decay_s, waver, melody = rng.uniform(0.2, 1.5), rng.uniform(0, 0.01), rng.random() < 0.7
    for number in range(int(count / RATE_HZ / beat) + 1):
        first = int(number * beat * RATE_HZ)
        if number % 4 == 0:
            root = int(rng.integers(0, 12))
            for note in _CHORDS[int(rng.integers(4))]:
                _add(sound, first, _tone(base, root + note, beat * rng.uniform(1, 4), bright, decay_s, waver, rng))
        if melody:
            pitch = int(rng.integers(5, 30))
            _add(sound, first, 1.5 * _tone(base, pitch, beat * rng.uniform(0.5, 2), bright, 1.0, 2 * waver, rng))
        if rng.random() < 0.5:
            hit = rng.standard_normal(2000) * np.exp(-np.arange(2000) / rng.uniform(100, 600))
            _add(sound, first, rng.uniform(0.5, 2) * hit)
        if number % 2 == 0:
            t = np.arange(3200) / RATE_HZ
            fall = np.sin(2 * np.pi * (rng.uniform(40, 70) * t - 3 * np.exp(-t / 0.03))) * np.exp(-t / 0.08)
            _add(sound, first, rng.uniform(0, 3) * fall)
    return sound[:count]


def _tone(
    base: float, note: float, seconds: float, bright: float, decay_s: float, waver: float, rng: np.random.Generator
) -> np.ndarray:
    """A note that is plucked or blown."""
    t, hz = np.arange(int(min(3.5, seconds) * RATE_HZ)) / RATE_HZ, base * 2 ** (note / 12)
    turns = 2 * np.pi * hz * (t + waver / 30 * np.sin(2 * np.pi * rng.uniform(4, 7) * t))
    partials = sum((bright**k * np.sin(k * turns) for k in range(1, 13) if k * hz < 7500), np.zeros(len(t)))
    return partials * np.minimum(t / rng.uniform(0.005, 0.1), 1) * np.exp(-t / decay_s)


def _add(sound: np.ndarray, first: int, part: np.ndarray) -> None:
    place = sound[first : first + len(part)]
    place += part[: len(place)]


def clatter(count: int, rng: np.random.Generator) -> np.ndarray:
    """Knocks, clicks, rustling and gusts: noise of changing colour that comes and goes."""
    sound = np.zeros(count)
    place = int(rng.uniform(0, 0.5) * RATE_HZ)
    slow = rng.random() < 0.5
    while place < count:
        length = int((rng.uniform(0.2, 2.0) if slow else rng.uniform(0.01, 0.3)) * RATE_HZ)
        low = rng.uniform(80, 3000)
        band = butter(2, (low, min(7800, low * rng.uniform(1.3, 6))), "bandpass", fs=RATE_HZ, output="sos")
        shape = np.sin(np.linspace(0, np.pi, length)) if slow else np.exp(-np.linspace(0, rng.uniform(3, 8), length))
        _add(sound, place, rng.uniform(0.2, 1) * shape * np.asarray(sosfilt(band, rng.standard_normal(length))))
        place += int(length * rng.uniform(0.3, 1)) + int(rng.exponential(0.3) * RATE_HZ)
    return sound


def breathing(count: int, rng: np.random.Generator) -> np.ndarray:
    """Swells of noise with the colour of an open throat, a pause between them."""
    low = rng.uniform(300, 900)
    band = butter(2, (low, rng.uniform(2500, 6000)), "bandpass", fs=RATE_HZ, output="sos")
    swell, place = np.zeros(count), int(rng.uniform(0, RATE_HZ))
    while place < count:
        length = int(rng.uniform(0.3, 1.5) * RATE_HZ)
        part = swell[place : place + length]
        part += np.sin(np.linspace(0, np.pi, length))[: len(part)] ** rng.uniform(1, 3)
        place += length + int(rng.uniform(0.2, 2) * RATE_HZ)
    return sosfilt(band, rng.standard_normal(count)) * swell
