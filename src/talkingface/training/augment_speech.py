"""Other rooms, microphones and voices for the same words, made on mel columns: fast, and enough for a mouth.

All functions take columns in dB, float32 [T, 80] (see `audio.mel`), and a NumPy generator.
"""

from __future__ import annotations

import numpy as np

from talkingface.audio.mel import FLOOR_DB, NUM_BANDS, RATE_HZ, LevelTracker, normalise

SPEEDS = (1.0, 0.89, 0.95, 1.06, 1.12)
"""Playing speeds, see `played`."""
_BAND = np.arange(NUM_BANDS, dtype=np.float32)


def played(samples: np.ndarray, speed: float) -> np.ndarray:
    """16 kHz speech played at `speed`: pitch, formants and tempo change together."""
    if speed == 1.0:
        return samples
    import soxr

    return soxr.resample(samples, RATE_HZ * speed, RATE_HZ)


def augment_columns(columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another vocal tract, equaliser, gain and background noise."""
    columns = equalise(warp_bands(columns, rng), rng) + np.float32(rng.uniform(-12, 8))
    if rng.random() < 0.6:
        loud = np.percentile(columns.max(axis=1), 90)
        noise = make_noise(len(columns), loud - rng.uniform(8, 45), rng)
        columns = 10 * np.log10(10 ** (columns / 10) + 10 ** (noise / 10))
    return np.maximum(columns, FLOOR_DB).astype(np.float32)


def warp_bands(columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stretch the mel axis by about a tenth: another vocal tract, so that no voice stands for its owner's mouth."""
    position = np.clip(_BAND * rng.uniform(0.9, 1.12) + rng.uniform(-1, 1), 0, NUM_BANDS - 1)
    low = np.minimum(position.astype(int), NUM_BANDS - 2)
    share = (position - low).astype(np.float32)
    return columns[:, low] * (1 - share) + columns[:, low + 1] * share


def _smooth_curve(tilt_db: float, wave_db: float, rng: np.random.Generator) -> np.ndarray:
    x = _BAND / (NUM_BANDS - 1)
    wave = np.cos(2 * np.pi * x * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    return (rng.normal(0, tilt_db) * 2 * (x - 0.5) + rng.normal(0, wave_db) * wave).astype(np.float32)


def equalise(columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response."""
    return columns + _smooth_curve(4, 2, rng)


def make_noise(length: int, level_db: float, rng: np.random.Generator) -> np.ndarray:
    """Steady background noise of a random colour: columns float32 [length, 80]."""
    flicker = 10 * np.log10(rng.gamma(3.0, 1 / 3, (length, NUM_BANDS)) + 1e-3)
    return (level_db + _smooth_curve(8, 3, rng) + flicker).astype(np.float32)


def to_input(columns: np.ndarray) -> np.ndarray:
    """Gain-normalised network input, float16 [T, 80]."""
    return normalise(columns, LevelTracker().push(columns)).astype(np.float16)


def hide_parts(values: np.ndarray, rng: np.random.Generator) -> None:
    """Blank a band and a moment of network input [T, 80] in place, each three times in ten."""
    if rng.random() < 0.3:
        first = int(rng.integers(0, NUM_BANDS - 8))
        values[:, first : first + int(rng.integers(1, 9))] = -1.5
    if rng.random() < 0.3:
        first = int(rng.integers(0, max(1, len(values) - 16)))
        values[first : first + int(rng.integers(1, 16))] = -3
