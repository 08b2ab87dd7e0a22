"""Generated landmarks before a renderer sees them: normalised, kept to what the person does, smoothed.

Landmarks are displacements [T, 204] of 68 points, of the person's mean and deviation where it says "normalised".
"""

from __future__ import annotations

import numpy as np

from talkingface.systems.geneface.official.syncnet import MOUTH

BROWS_AND_EYES = np.r_[17:27, 36:48]
BLINKING = slice(17, 48)
"""Brows, nose and eyes: what a blink replaces."""
WITHOUT_MOUTH = 48 * 3
"""Channels of the points before the mouth's."""
CLAMP_STD, VANILLA_CLAMP_STD = 2.5, 3.0
SILENT_RMS = 1e-5
_KEPT = 0.2


def normalise(motion: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Motion [T, 204] in the person's deviations from the mean [1, 68, 3]."""
    return ((motion.reshape(-1, 68, 3) - mean) / std).reshape(len(motion), -1)


def clamp(normalised: np.ndarray, limit: float = CLAMP_STD) -> np.ndarray:
    """At most `limit` deviations; half of it for x and y of brows and eyes."""
    limits = np.full((68, 3), limit)
    limits[BROWS_AND_EYES, :2] /= 2
    return np.clip(normalised, -limits.ravel(), limits.ravel())


def smooth(normalised: np.ndarray) -> np.ndarray:
    """A fifth of what was shown before, the rest new: float64 [T, C]."""
    made = np.array(normalised, np.float64)
    for frame in range(1, len(made)):
        made[frame] = _KEPT * made[frame - 1] + (1 - _KEPT) * made[frame]
    return made


def blink_with(normalised: np.ndarray, blinking: np.ndarray) -> np.ndarray:
    """Brows, nose and eyes of a reference [N, 204], again and again."""
    made = normalised.reshape(-1, 68, 3).copy()
    frames = np.arange(len(made)) % len(blinking)
    made[:, BLINKING] = blinking.reshape(-1, 68, 3)[frames, BLINKING]
    return made.reshape(normalised.shape)


def silent_frames(energy: np.ndarray, count: int) -> np.ndarray:
    """The frames int64 [K] of `count` that are silent, by the RMS energy of 50 rows a second: both of a frame's rows
    are below a hundred-thousandth."""
    rows = energy[: 2 * count]
    pooled = np.pad(rows, (0, 2 * count - len(rows)), constant_values=-np.inf).reshape(count, 2).max(1)
    return np.flatnonzero(pooled < SILENT_RMS)


def close_mouth(normalised: np.ndarray, frames: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """The mouth of a reference frame [204] at the frames given."""
    made = normalised.reshape(-1, 68, 3).copy()
    made[frames, MOUTH] = closed.reshape(68, 3)[MOUTH]
    return made.reshape(normalised.shape)
