"""Log-mel bands of 16 kHz speech, whole or as a stream, and the level that makes them independent of gain.

A column is the energy of 25 ms of sound in 80 triangular bands from 50 to 7600 Hz, in decibels relative to a
full-scale sine in that band; columns follow each other every 10 ms, four to a video frame of 25 fps.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft

RATE_HZ = 16000
WINDOW = 400
HOP = 160
MEL_FPS = 100
"""Columns per second."""
NUM_FFT = 512
NUM_BANDS = 80
MIN_HZ = 50.0
MAX_HZ = 7600.0
FLOOR_DB = -100.0
"""Quietest value of a column: digital silence."""


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Frequency on the mel scale of O'Shaughnessy (2595 log10(1 + f / 700)), any shape."""
    return 2595.0 * np.log10(1.0 + np.asarray(hz, np.float64) / 700.0)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of `hz_to_mel`."""
    return 700.0 * (10.0 ** (np.asarray(mel, np.float64) / 2595.0) - 1.0)


@lru_cache(maxsize=1)
def mel_filters() -> np.ndarray:
    """The 80 triangular filters as float32 [80, 257], each with a peak of at most one."""
    edges = mel_to_hz(np.linspace(hz_to_mel(MIN_HZ), hz_to_mel(MAX_HZ), NUM_BANDS + 2))
    bins = np.arange(NUM_FFT // 2 + 1) * RATE_HZ / NUM_FFT
    # The lowest bands are narrower than a bin: widen every triangle to reach at least the neighbouring bins.
    low = np.minimum(edges[:-2], edges[1:-1] - RATE_HZ / NUM_FFT)[:, None]
    high = np.maximum(edges[2:], edges[1:-1] + RATE_HZ / NUM_FFT)[:, None]
    peak = edges[1:-1, None]
    rising = (bins - low) / (peak - low)
    falling = (high - bins) / (high - peak)
    return np.clip(np.minimum(rising, falling), 0.0, None).astype(np.float32)


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    window = np.hanning(WINDOW + 1)[:-1]
    # Scaled so that a full-scale sine has power one at its bin.
    return (window * 2.0 / window.sum()).astype(np.float32)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Columns wholly inside `samples`: float32 [N] at 16 kHz -> float32 [(N - 400) // 160 + 1, 80] in dB.

    Column j covers samples 160 j to 160 j + 399; nothing is padded. Fewer than 400 samples give no column.

    >>> log_mel(np.zeros(16000, np.float32)).shape
    (98, 80)
    """
    if len(samples) < WINDOW:
        return np.zeros((0, NUM_BANDS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32, copy=False), WINDOW)[::HOP]
    spectrum = np.asarray(scipy.fft.rfft(frames * _window(), NUM_FFT, axis=1))
    power = np.real(spectrum) ** 2 + np.imag(spectrum) ** 2
    bands = power @ mel_filters().T
    level = 10.0 * np.log10(np.maximum(bands, np.float32(10.0 ** (FLOOR_DB / 10.0))))
    return np.maximum(level, FLOOR_DB).astype(np.float32)  # some processors round the logarithm past the floor


def speech_columns(samples: np.ndarray) -> np.ndarray:
    """All columns of 16 kHz speech, aligned as `MelStream` gives them: column 0 is before the sound."""
    # 400 samples of silence first: column j ends with sample 160 j, as in a stream after its silent first column.
    return log_mel(np.concatenate([np.zeros(400, np.float32), samples.astype(np.float32), np.zeros(160, np.float32)]))


class MelStream:
    """`log_mel` over a stream: `push` any multiple of 160 samples, get one column for each 160.

    Column j ends with sample 160 (j + 1) - 1; what came before the first sample is silence.
    """

    PAST = WINDOW - HOP

    def __init__(self) -> None:
        self._tail = np.zeros(self.PAST, np.float32)

    @staticmethod
    def silence() -> np.ndarray:
        """The column that ends where the sound begins: float32 [1, 80]."""
        return np.full((1, NUM_BANDS), FLOOR_DB, np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """float32 [160 n] -> columns float32 [n, 80] in dB."""
        if len(samples) % HOP:
            raise ValueError(f"push a multiple of {HOP} samples, not {len(samples)}")
        joined = np.concatenate([self._tail, samples.astype(np.float32, copy=False)])
        self._tail = joined[len(joined) - self.PAST :]
        return log_mel(joined)


def loudest_bands(columns: np.ndarray) -> np.ndarray:
    """Mean of the loudest tenth of the bands: columns float32 [T, 80] in dB -> [T] in dB.

    That is formants, not the number of bands that noise fills.
    """
    return np.partition(columns, NUM_BANDS - 8, axis=1)[:, NUM_BANDS - 8 :].mean(axis=1)


class LevelTracker:
    """Running loudness of the voice in dB, from columns alone and causal: what gain normalisation subtracts.

    It rises quickly with louder sound (about 0.3 s), falls slowly (10 dB in about 8 s) and never below
    `MIN_DB`, so that a quiet room is not blown up into speech.
    """

    START_DB = -24.0
    MIN_DB = -50.0
    RISE = 0.06
    FALL = 0.0125

    def __init__(self) -> None:
        self._level = self.START_DB

    def push(self, columns: np.ndarray) -> np.ndarray:
        """Columns float32 [T, 80] in dB -> level float32 [T] in dB."""
        level = self._level
        levels = []
        for value in loudest_bands(columns).tolist():
            step = value - level
            level = max(level + (self.RISE * step if step > 0 else -self.FALL), self.MIN_DB)
            levels.append(level)
        self._level = level
        return np.asarray(levels, np.float32)


def normalise(columns: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Columns [T, 80] in dB and their levels [T] -> float32 [T, 80], about 0 at the voice's level, in [-3, 1.5]."""
    return np.clip((columns - levels[:, None] + 20.0) / 20.0, -3.0, 1.5).astype(np.float32)
