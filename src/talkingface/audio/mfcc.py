"""Mel-frequency cepstral coefficients as python_speech_features computes them, and windows of them for video frames.

Networks trained on such coefficients notice every detail: no analysis window, a pre-emphasis over the whole signal,
filters that start and end on whole bins, the energy in the place of the first coefficient.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft

from talkingface.audio.mel import hz_to_mel, mel_to_hz

RATE_HZ = 16000
WINDOW, HOP, NUM_FFT = 400, 160, 512
NUM_FILTERS, NUM_COEFFICIENTS = 26, 13
MFCC_FPS = 100
"""Rows per second."""
FRAME_PADDING = 1920
"""Zeros at both ends of speech that are given to `frame_windows`: 120 ms."""
FRAME_ROWS, FRAME_HOP = 28, 4
_PRE_EMPHASIS, _LIFTER = 0.97, 22
_BLOCK = 4096  # rows at once: memory stays flat for hours of sound


def mfcc(samples: np.ndarray, coefficients: int = NUM_COEFFICIENTS) -> np.ndarray:
    """float [N] at 16 kHz, N >= 1 -> float64 [T, 13], one row for each 10 ms, or up to 26 `coefficients`.

    T = 1 + ceil((N - 400) / 160), at least 1. Row t covers samples 160 t to 160 t + 399, the last padded with zeros.
    Column 0 is the logarithm of the energy. Digital silence gives zero in the other columns.

    >>> mfcc(np.zeros(16000)).shape
    (99, 13)
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"mfcc takes samples [N], at least one, not {samples.shape}")
    emphasised = samples.copy()
    emphasised[1:] -= _PRE_EMPHASIS * samples[:-1]
    rows = 1 + max(0, -(-(len(samples) - WINDOW) // HOP))
    padded = np.pad(emphasised, (0, max(0, (rows - 1) * HOP + WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.concatenate([_cepstra(frames[start : start + _BLOCK], coefficients) for start in range(0, rows, _BLOCK)])


def _cepstra(frames: np.ndarray, coefficients: int) -> np.ndarray:
    spectrum = np.asarray(scipy.fft.rfft(frames, NUM_FFT, axis=1))
    power = (np.real(spectrum) ** 2 + np.imag(spectrum) ** 2) / NUM_FFT
    bands = _log(power @ _filters().T)
    cepstra = np.asarray(scipy.fft.dct(bands, type=2, axis=1, norm="ortho"))[:, :coefficients]
    cepstra *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(coefficients) / _LIFTER)
    cepstra[:, 0] = _log(power.sum(1))
    return cepstra


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.where(values == 0, np.finfo(np.float64).eps, values))


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """Triangles over 0 to 8000 Hz whose corners are whole bins: float64 [26, 257]."""
    corners = mel_to_hz(np.linspace(0.0, hz_to_mel(RATE_HZ / 2), NUM_FILTERS + 2))
    low, peak, high = (np.floor((NUM_FFT + 1) * corners / RATE_HZ)[k : k + NUM_FILTERS, None] for k in range(3))
    bins = np.arange(NUM_FFT // 2 + 1)
    triangles = np.where(bins < peak, (bins - low) / (peak - low), (high - bins) / (high - peak))
    return np.clip(triangles, 0, None)


def frame_windows(samples: np.ndarray, *, padding: int = FRAME_PADDING) -> np.ndarray:
    """Network input for each video frame at 25 fps: float [N] at 16 kHz -> float32 [F, 28, 12].

    Frame i is rows 4 i to 4 i + 27 of the coefficients of the padded sound, without the energy. With the usual padding
    that is 120 ms before the frame starts to 160 ms after, so that its middle is the frame's. F = T // 4 - 6: one frame
    less than the sound lasts, or as many; none for less than 0.06 s.
    """
    rows = mfcc(np.pad(np.asarray(samples, np.float64), padding))[:, 1:].astype(np.float32)
    if len(rows) < FRAME_ROWS:
        return np.zeros((0, FRAME_ROWS, NUM_COEFFICIENTS - 1), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(rows, FRAME_ROWS, axis=0)[::FRAME_HOP]
    return np.ascontiguousarray(windows.transpose(0, 2, 1))
