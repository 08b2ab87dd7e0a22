"""Fundamental frequencies as the numbers of 255 bins, evenly spaced on the mel scale of natural logarithms."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

LOWEST_HZ, HIGHEST_HZ, BINS = 50.0, 1100.0, 255


def _mel(hz: float) -> float:
    return 1127 * log(1 + hz / 700)


def pitch_bins(f0: Tensor) -> Tensor:
    """Bins int64 [...], 1 to 255, of frequencies [...] in Hz; 1 without a voice (0 Hz)."""
    return (_place(f0, torch.log1p) + 0.5).floor().long()


def pitch_bins_rounded(f0: np.ndarray) -> np.ndarray:
    """The same in the data preparation, where halves go to the even bin: int64 [...]."""
    return np.rint(_place(np.asarray(f0, np.float64), np.log1p)).astype(np.int64)


def _place(f0: Any, log1p: Any) -> Any:
    low, high = _mel(LOWEST_HZ), _mel(HIGHEST_HZ)
    return ((1127 * log1p(f0 / 700) - low) * (BINS - 1) / (high - low) + 1).clip(1, BINS)
