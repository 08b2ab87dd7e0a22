"""Agreement of two signals of one clock, and the shift at which it is greatest."""

from __future__ import annotations

import numpy as np


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two signals [T]; 0 if one of them does not move or fewer than three values are given."""
    if len(a) < 3:
        return 0.0
    a, b = np.asarray(a, np.float64) - np.mean(a), np.asarray(b, np.float64) - np.mean(b)
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / norm) if norm > 1e-12 else 0.0


def correlation_at(a: np.ndarray, b: np.ndarray, lag: int) -> float:
    """Correlation of a[t] with b[t + lag] over the frames that both have."""
    length = min(len(a), len(b)) - abs(lag)
    if length < 3:
        return 0.0
    return correlation(a[max(0, -lag) :][:length], b[max(0, lag) :][:length])


def best_lag(a: np.ndarray, b: np.ndarray, max_lag: int) -> tuple[int, float]:
    """The lag in [-max_lag, max_lag] at which a[t] agrees best with b[t + lag], and that correlation.

    Positive: `b` is late. Of equal lags the smallest shift wins.
    """
    lags = sorted(range(-max_lag, max_lag + 1), key=abs)
    values = [correlation_at(a, b, lag) for lag in lags]
    best = int(np.argmax(values))
    return lags[best], values[best]
