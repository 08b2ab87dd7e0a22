"""The networks' sound: log-mel columns of 80 ms, ten milliseconds apart, in [0, 1].

The published code takes them from a package that no longer builds; this is its closed form. Column m ends with sample
160 m + 159, so that column 0 holds the first 10 ms and silence before.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import scipy.fft

from talkingface.audio.slaney import slaney_filters
from talkingface.systems.pcavs.data.timing import HOP, RATE_HZ, WINDOW_COLUMNS, mel_length, window_start

WINDOW = 1280
NUM_BANDS = 80
MIN_HZ, MAX_HZ = 125.0, 7600.0
SPOKEN_RMS = 0.1
"""Level to which a whole voice is scaled."""
FLOOR_RMS = 1e-4
PAST = WINDOW - HOP
"""Samples of a column before its own ten milliseconds."""
_MIN_DB, _REFERENCE_DB = -100.0, 20.0
_BLOCK = 2048
"""Columns transformed at a time: an hour of speech needs no more memory than a minute."""


def mel_filters() -> np.ndarray:
    """The triangular filters as float32 [80, 641], each with area one over frequency."""
    return slaney_filters(NUM_BANDS, WINDOW, MIN_HZ, MAX_HZ, RATE_HZ)


@lru_cache(maxsize=1)
def window() -> np.ndarray:
    """The window, float64 [1280]: half a sine, whose square rebuilds the sound when windows overlap by 7/8."""
    return 0.5 * np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)


def speech_gain(samples: np.ndarray) -> float:
    """The factor that brings a whole voice, float32 [N], to RMS 0.1; faint noise is not blown up without limit."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    return SPOKEN_RMS / max(FLOOR_RMS, rms)


def spectra(padded: np.ndarray) -> np.ndarray:
    """Magnitudes float32 [(N - 1280) // 160 + 1, 641] of the windows that lie wholly inside the samples [N]."""
    if len(padded) < WINDOW:
        return np.zeros((0, WINDOW // 2 + 1), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.abs(np.asarray(scipy.fft.rfft(frames * window(), axis=1))).astype(np.float32)


def mel_columns(padded: np.ndarray) -> np.ndarray:
    """Columns float32 [(N - 1280) // 160 + 1, 80] in [0, 1] of the windows that lie wholly inside the samples [N].

    The samples have their level already. For streams: keep the last `PAST` samples in front of the next piece.
    """
    # magnitudes, not powers, as published
    bands = spectra(padded) @ mel_filters().T
    level = 20 * np.log10(np.maximum(bands, np.float32(10 ** (_MIN_DB / 20)))) - _REFERENCE_DB
    return np.clip((level - _MIN_DB) / -_MIN_DB, 0, 1).astype(np.float32)


def speech_mel(samples: np.ndarray, gain: float | None = None) -> np.ndarray:
    """Columns of a whole voice: float32 [N] at 16 kHz -> float32 [7 + ceil(N / 160), 80] in [0, 1]; 0 is silence.

    `gain`: the factor on the samples; None takes `speech_gain` of all of them, as the weights were trained with.

    >>> speech_mel(np.zeros(16000, np.float32)).shape
    (107, 80)
    """
    # the level of the whole recording, as the published weights were trained
    scaled = samples.astype(np.float32, copy=False) * np.float32(speech_gain(samples) if gain is None else gain)
    total = mel_length(len(samples))
    padded = np.pad(scaled, (PAST, (total - 1) * HOP + WINDOW - PAST - len(samples)))
    starts = range(0, total, _BLOCK)
    return np.concatenate([mel_columns(padded[s * HOP : (min(s + _BLOCK, total) - 1) * HOP + WINDOW]) for s in starts])


def mel_windows(mel: np.ndarray, frames: int | Iterable[int], columns_late: int = 0) -> np.ndarray:
    """The windows of video frames: mel [T, 80] -> float32 [K, 1, 80, 20], for frames 0..K-1 or those named.

    Beyond both ends of the mel lies silence, so that every frame of a voice has its window: the original leaves out
    the first two and the last ones and starts the film 80 ms early (`timing.frame_range` names the frames it makes).
    `columns_late` moves all windows to later sound, by 10 ms each.
    """
    numbers = range(frames) if isinstance(frames, int) else frames
    starts = np.array([window_start(int(frame)) + columns_late for frame in numbers], np.int64)
    wanted = starts[:, None] + np.arange(WINDOW_COLUMNS)
    inside = (wanted >= 0) & (wanted < len(mel))
    if not len(mel):
        return np.zeros((len(starts), 1, NUM_BANDS, WINDOW_COLUMNS), np.float32)
    rows = mel[np.clip(wanted, 0, len(mel) - 1)] * inside[..., None]
    return np.ascontiguousarray(rows.transpose(0, 2, 1)[:, None], np.float32)
