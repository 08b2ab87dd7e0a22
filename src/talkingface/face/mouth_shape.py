"""Mouth coefficients that a network predicts: moved farther, because regression to the mean takes movement away, and
never with lips through each other. `measures` [3, M]: gap, width and jaw a coefficient (`mouth_measures`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def stretching(measures: np.ndarray, gain: Sequence[float] | np.ndarray) -> np.ndarray:
    """float32 [M, M], by which rows of coefficients are multiplied so that each measure moves `gain` [3] times as
    far."""
    change = np.linalg.pinv(measures.astype(np.float64)) @ np.diag(np.asarray(gain, np.float64) - 1) @ measures
    return (np.eye(measures.shape[1]) + change).T.astype(np.float32)


def parting(measures: np.ndarray) -> np.ndarray:
    """Change of the coefficients float32 [M] that parts the lips by one.

    Half of it is the likeliest such change, half that which leaves jaw and width alone: with the first alone the jaw
    agrees less with real ones, with the second it does not take part.
    """
    gap, alone = measures[0].astype(np.float32), np.linalg.pinv(measures)[:, 0]
    return (0.5 * gap / (gap @ gap) + 0.5 * alone).astype(np.float32)
