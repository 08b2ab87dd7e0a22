"""Sounds made on the spot, all mono float32 [N] at 16 kHz: rooms, noises, music, breath, coughs, and changed voices.

Levels are root mean squares in dB of full scale. The same seed gives the same sound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import butter, fftconvolve, lfilter, resample_poly, sosfilt, sosfiltfilt

RATE_HZ = 16000
_HEARD_DB = 30.0
"""Blocks of speech more than this below its loudest do not count for its level."""
_BLOCK = RATE_HZ // 50
_ORDER, _FRAME, _HOP = 18, 480, 160
_MINOR, _MAJOR = (0, 3, 7), (0, 4, 7)
_PROGRESSIONS = (
    ((0, _MAJOR), (9, _MINOR), (5, _MAJOR), (7, _MAJOR)),
    ((0, _MINOR), (8, _MAJOR), (3, _MAJOR), (10, _MAJOR)),
)
_SCALE = (0, 2, 4, 7, 9, 12, 14, 16)


def at_level(samples: np.ndarray, level_db: float) -> np.ndarray:
    """The sound at a level; silence stays as it is."""
    return (samples / max(float(np.sqrt(np.mean(np.square(samples)))), 1e-9) * 10 ** (level_db / 20)).astype(np.float32)


def coloured_noise(seconds: float, seed: int, level_db: float, slope: float) -> np.ndarray:
    """Steady noise whose power falls with frequency to the power of `slope`: 0 is white, 1 pink, 2 brown."""
    count = int(seconds * RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=count))
    spectrum /= np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), 60) ** (slope / 2)
    return at_level(np.fft.irfft(spectrum, count), level_db)


def room_noise(seconds: float, seed: int, level_db: float) -> np.ndarray:
    """A quiet room: noise that falls with frequency, and a little mains hum."""
    noise = coloured_noise(seconds, seed, 0.0, 1.0)
    hum = 0.3 * np.sin(2 * np.pi * 100 * np.arange(len(noise)) / RATE_HZ)
    return at_level(noise + hum, level_db)


def breath(seconds: float, seed: int, level_db: float) -> np.ndarray:
    """Breathing: swells of noise as the open throat shapes it, in and out, every three to four seconds. The level is
    that of the loudest moment."""
    rng = np.random.default_rng(seed)
    noise = _resonant(rng.normal(size=int(seconds * RATE_HZ)), ((650, 250), (1700, 500), (3200, 900)))
    swell, place = np.zeros(len(noise)), rng.uniform(0.1, 0.5)
    while place < seconds:
        for length, strength in ((rng.uniform(0.5, 1.2), 1.0), (rng.uniform(1.0, 1.6), rng.uniform(0.3, 0.8))):
            first = int(place * RATE_HZ)
            shape = strength * np.sin(np.linspace(0, np.pi, int(length * RATE_HZ))) ** 2
            part = swell[first : first + len(shape)]
            part += shape[: len(part)]
            place += length + rng.uniform(0.1, 0.4)
        place += rng.uniform(0.2, 0.8)
    return (at_level(noise, level_db) * swell).astype(np.float32)


def cough(seconds: float, seed: int, level_db: float) -> np.ndarray:
    """A cough every second: a burst of noise, then a hoarse tail. The level is that of the first burst."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * RATE_HZ))
    for start in np.arange(0.5, seconds - 0.5, 1.0):
        t = np.arange(int(0.4 * RATE_HZ)) / RATE_HZ
        burst = np.minimum(t / 0.005, 1) * np.exp(-t / 0.06)
        tail = 0.3 * np.clip((t - 0.08) / 0.05, 0, 1) * np.exp(-np.maximum(t - 0.13, 0) / 0.08)
        noise = _resonant(rng.normal(size=len(t)), ((500, 300), (1200, 400), (2500, 800)))
        hoarse = 1 + 0.6 * np.sign(np.sin(2 * np.pi * rng.uniform(90, 140) * t))
        first = int(start * RATE_HZ)
        sound[first : first + len(t)] += at_level(noise, level_db) * (burst + tail * hoarse)
    return np.clip(sound, -1, 1).astype(np.float32)


def music(seconds: float, seed: int, level_db: float) -> np.ndarray:
    """A song without a voice: chords, bass, a melody with vibrato, and drums; key, tempo and instruments by seed."""
    rng = np.random.default_rng(seed)
    beat = 60 / rng.uniform(80, 130)
    key = 48 + int(rng.integers(0, 8))
    chords = _PROGRESSIONS[seed % len(_PROGRESSIONS)]
    brightness = rng.uniform(0.4, 0.9)
    sound = np.zeros(int((seconds + 8 * beat) * RATE_HZ))
    for number in range(int(seconds / beat) + 1):
        root, kind = chords[number // 4 % len(chords)]
        start = number * beat
        if number % 4 == 0:
            for step in kind:
                _add(sound, start, 0.25 * _note(key + root + step, 4 * beat, brightness, 1.5))
        if number % 2 == 0:
            _add(sound, start, 0.5 * _note(key + root - 12, 1.5 * beat, 0.4, 0.6))
        for half in (0.0, 0.5):
            if rng.random() < 0.7:
                pitch = key + 12 + int(rng.choice(_SCALE))
                _add(
                    sound,
                    start + half * beat,
                    0.4 * _note(pitch, beat * rng.uniform(0.4, 1.0), 0.8, 0.4, vibrato=0.006),
                )
            _add(sound, start + half * beat, 0.15 * _drum(rng, 0.03, 6000))
        _add(sound, start, 0.8 * _kick() if number % 2 == 0 else 0.5 * _drum(rng, 0.12, 1800))
    return at_level(sound[: int(seconds * RATE_HZ)], level_db)


def _note(pitch: float, seconds: float, brightness: float, decay_s: float, vibrato: float = 0.0) -> np.ndarray:
    """A plucked or blown tone of MIDI number `pitch`."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    base = 440 * 2 ** ((pitch - 69) / 12)
    phase = 2 * np.pi * base * (t - vibrato / (2 * np.pi * 5.5) * np.cos(2 * np.pi * 5.5 * t))
    harmonics = range(1, max(2, min(12, int(7000 / base))))
    tone = sum((brightness ** (k - 1) * np.sin(k * phase) for k in harmonics), np.zeros(len(t)))
    return tone * np.minimum(t / 0.01, 1) * np.exp(-t / decay_s) * np.minimum((seconds - t) / 0.02, 1)


def _kick() -> np.ndarray:
    t = np.arange(int(0.2 * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * (50 * t - 3 * np.exp(-t / 0.03))) * np.exp(-t / 0.08)


def _drum(rng: np.random.Generator, decay_s: float, centre_hz: float) -> np.ndarray:
    t = np.arange(int(5 * decay_s * RATE_HZ)) / RATE_HZ
    return 0.3 * _resonant(rng.normal(size=len(t)), ((centre_hz, centre_hz),)) * np.exp(-t / decay_s)


def _add(sound: np.ndarray, start_s: float, part: np.ndarray) -> None:
    place = sound[int(start_s * RATE_HZ) :][: len(part)]
    place += part[: len(place)]


def _resonant(noise: np.ndarray, peaks: Sequence[tuple[float, float]]) -> np.ndarray:
    """Noise through resonances (centre, bandwidth in Hz), each of deviation 1 before they are added."""
    total = np.zeros(len(noise))
    for centre, width in peaks:
        low, high = max(centre - width / 2, 40.0), min(centre + width / 2, 0.49 * RATE_HZ)
        part = np.asarray(sosfilt(butter(1, (low, high), "bandpass", fs=RATE_HZ, output="sos"), noise))
        total += part / max(float(np.std(part)), 1e-9)
    return total


def speech_level(samples: np.ndarray) -> float:
    """Root mean square of the speech, pauses left out."""
    blocks = np.square(samples[: len(samples) // _BLOCK * _BLOCK].astype(np.float64)).reshape(-1, _BLOCK).mean(axis=1)
    heard = blocks[blocks >= blocks.max(initial=0.0) * 10 ** (-_HEARD_DB / 10)]
    return float(np.sqrt(heard.mean())) if len(heard) else 0.0


def with_noise(speech: np.ndarray, noise: np.ndarray, ratio_db: float) -> np.ndarray:
    """Speech over noise `ratio_db` below it (pauses do not count); the noise is repeated as needed."""
    noise = np.resize(noise, len(speech))
    mixed = speech + at_level(noise, 0.0) * speech_level(speech) * 10 ** (-ratio_db / 20)
    return within_range(mixed)


def within_range(samples: np.ndarray) -> np.ndarray:
    """The sound, made softer where it would be clipped."""
    return (samples / max(1.0, float(np.abs(samples).max(initial=0.0)))).astype(np.float32)


def babble(voices: Sequence[np.ndarray], seconds: float) -> np.ndarray:
    """Voices that all speak at once, each as loud as the others."""
    count = int(seconds * RATE_HZ)
    return within_range(np.sum([np.resize(at_level(voice, -25.0), count) for voice in voices], axis=0))


def telephone(speech: np.ndarray) -> np.ndarray:
    """Speech as an analogue telephone line passes it: 300 to 3400 Hz at 8 kHz."""
    narrow = sosfiltfilt(butter(4, (300, 3400), "bandpass", fs=RATE_HZ, output="sos"), speech)
    return resample_poly(resample_poly(narrow, 1, 2), 2, 1)[: len(speech)].astype(np.float32)


def in_hall(speech: np.ndarray, seed: int, decay_s: float = 0.6, direct_db: float = 0.0) -> np.ndarray:
    """Speech in a room whose sound dies by 60 dB in `decay_s`, its direct sound `direct_db` over the reverberation."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(decay_s * RATE_HZ)) / RATE_HZ
    tail = rng.normal(size=len(t)) * 10 ** (-3 * t / decay_s) * (t > 0.005)
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1.0
    return within_range(fftconvolve(speech, tail)[: len(speech)])


def whispered(speech: np.ndarray, seed: int) -> np.ndarray:
    """Speech without a voice: its spectral envelope, frame by frame (linear prediction), on noise."""
    rng = np.random.default_rng(seed)
    window = np.hanning(_FRAME)
    emphasised = lfilter([1, -0.95], [1], speech)  # whispers lack the low frequencies that vocal folds give
    sound, weight = np.zeros(len(speech) + _FRAME), np.full(len(speech) + _FRAME, 1e-6)
    for start in range(0, len(speech) - _FRAME, _HOP):
        frame = emphasised[start : start + _FRAME] * window
        powers = np.correlate(frame, frame, "full")[_FRAME - 1 : _FRAME + _ORDER]
        if powers[0] > 1e-9:
            powers[0] *= 1.001
            taps = solve_toeplitz(powers[:-1], powers[1:])
            made = lfilter([1], np.concatenate([[1], -taps]), rng.normal(size=_FRAME))
            made *= np.sqrt(powers[0] / max(float(np.square(made * window).sum()), 1e-12))
            sound[start : start + _FRAME] += made * window
        weight[start : start + _FRAME] += window
    return within_range(0.5 * sound[: len(speech)] / weight[: len(speech)])


def as_child(speech: np.ndarray) -> np.ndarray:
    """Speech played a quarter faster: higher, as from a shorter vocal tract, and quicker."""
    return within_range(resample_poly(speech, 4, 5))


def together(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two people who talk at once, equally loud, as long as the shorter."""
    count = min(len(first), len(second))
    return within_range(at_level(first[:count], -23.0) + at_level(second[:count], -23.0))
