"""Sound as input of the sync expert: mel columns on the video clock, without loudness."""

from __future__ import annotations

import numpy as np

from talkingface.audio.mel import HOP, MEL_FPS, NUM_BANDS, WINDOW, log_mel

COLUMNS_PER_FRAME = MEL_FPS // 25
SILENCE = -1.5
"""Value of a band without sound, and beyond the ends of the sound."""
_LOUDEST = 2.0
_RMS = 0.05  # loudness at which columns are taken, so that their floor lies as deep below every voice
_QUIETEST_RMS = 1e-4  # below it there is only silence


def centred_columns(samples: np.ndarray) -> np.ndarray:
    """`log_mel` of float32 [N] at 16 kHz in which column j is centred on sample 160 j: float32 [N // 160 + 1, 80]."""
    return log_mel(np.pad(samples.astype(np.float32, copy=False), WINDOW // 2))


def voice_level(columns: np.ndarray) -> float:
    """Loudness of the voice in dB: the mean over the loudest fifth of columns of each one's loudest band."""
    peaks = np.sort(columns.max(axis=1))
    return float(peaks[-max(1, len(peaks) // 5) :].mean())


def without_level(columns: np.ndarray) -> np.ndarray:
    """Columns [T, 80] in dB relative to their own voice level: float32 in [-1.5, 2], 0 at 30 dB below it."""
    return np.clip((columns - voice_level(columns) + 30.0) / 20.0, SILENCE, _LOUDEST).astype(np.float32)


def sync_mel(samples: np.ndarray, num_frames: int) -> np.ndarray | None:
    """Network input for frames 0 to `num_frames` - 1 of 25 fps: float32 [4 num_frames, 80]; None if it is silent.

    The same sound at another loudness gives the same.
    """
    samples = samples[: num_frames * COLUMNS_PER_FRAME * HOP]
    rms = float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0
    if rms < _QUIETEST_RMS:
        return None
    columns = centred_columns(samples * np.float32(_RMS / rms))
    values = np.full((num_frames * COLUMNS_PER_FRAME, NUM_BANDS), SILENCE, np.float32)
    heard = without_level(columns)[: len(values)]
    values[: len(heard)] = heard
    return values
