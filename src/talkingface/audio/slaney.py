"""The mel scale of Slaney's Auditory Toolbox and its filters, which many published networks hear through."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_LINEAR_HZ = 200.0 / 3
_BREAK_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27


def hz_to_slaney(hz: np.ndarray | float) -> np.ndarray:
    """Frequency on the scale: linear to 1 kHz, logarithmic above."""
    hz = np.asarray(hz, np.float64)
    above = _BREAK_HZ / _LINEAR_HZ + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_HZ, above)


def slaney_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of `hz_to_slaney`."""
    mel = np.asarray(mel, np.float64)
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_HZ / _LINEAR_HZ) - _BREAK_HZ / _LINEAR_HZ))
    return np.where(mel < _BREAK_HZ / _LINEAR_HZ, mel * _LINEAR_HZ, above)


@lru_cache(maxsize=4)
def slaney_filters(bands: int, fft: int, min_hz: float, max_hz: float, rate_hz: int = 16000) -> np.ndarray:
    """Triangular filters float32 [bands, fft // 2 + 1] over the bins of a transform, each with area one over
    frequency."""
    edges = slaney_to_hz(np.linspace(hz_to_slaney(min_hz), hz_to_slaney(max_hz), bands + 2))[:, None]
    bins = np.arange(fft // 2 + 1) * rate_hz / fft
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (peak - low), (high - bins) / (high - peak)
    return (np.clip(np.minimum(rising, falling), 0, None) * 2 / (high - low)).astype(np.float32)
