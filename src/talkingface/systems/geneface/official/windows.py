"""Windows of rows around every row: what networks of this system see of landmarks and audio features."""

from __future__ import annotations

from typing import Literal

import numpy as np

ASR_WINDOW, ASR_STRIDE = 16, 2
"""Rows at 50 a second that a video frame's window has, and how many of them a video frame lasts."""


def windows(rows: np.ndarray, size: int, padding: Literal["zero", "edge"] = "zero") -> np.ndarray:
    """Rows [T, ...] -> [T, size, ...]: row i - size // 2 to row i + size - size // 2 - 1 for each row i.

    Beyond the ends there are zeros (as in training) or the first and last row (as in inference).

    >>> windows(np.arange(3), 3).tolist()
    [[0, 0, 1], [0, 1, 2], [1, 2, 0]]
    """
    before = size // 2
    width = [(before, size - before - 1)] + [(0, 0)] * (rows.ndim - 1)
    padded = np.pad(rows, width, mode="constant" if padding == "zero" else "edge")
    return np.stack([padded[i : i + size] for i in range(len(rows))]) if len(rows) else padded[:0, None]


def frame_windows(rows: np.ndarray) -> np.ndarray:
    """Rows [N, C] at 50 a second -> [N // 2 + 1, 16, C], one window a video frame: rows 2 i - 8 to 2 i + 7, zeros
    outside."""
    half = ASR_WINDOW // 2
    padded = np.pad(rows, ((half, half), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, ASR_WINDOW, axis=0)[::ASR_STRIDE].transpose(0, 2, 1)
