"""Sound as the sync expert hears it: mel columns on the video clock, without its loudness."""

from __future__ import annotations

import numpy as np

from talkingface.audio.mel import HOP, MEL_FPS, NUM_BANDS, WINDOW, log_mel

COLUMNS_PER_FRAME = MEL_FPS // 25
SILENCE = -1.5
"""Value of a band without sound, and beyond the ends of the sound."""
_LOUDEST = 2.0
_QUIETEST_DB = -85.0  # level below which there is nothing to hear


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


def sync_columns(samples: np.ndarray, num_frames: int) -> np.ndarray | None:
    """Network input for frames 0 to `num_frames` - 1 of 25 fps: float32 [4 num_frames, 80]; None if it is silent.

    The same sound at another loudness gives the same, until it nears digital silence.
    """
    columns = centred_columns(samples[: num_frames * COLUMNS_PER_FRAME * HOP])
    if not len(columns) or voice_level(columns) < _QUIETEST_DB:
        return None
    values = np.full((num_frames * COLUMNS_PER_FRAME, NUM_BANDS), SILENCE, np.float32)
    heard = without_level(columns)[: len(values)]
    values[: len(heard)] = heard
    return values
