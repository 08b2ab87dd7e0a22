"""What a sync expert sees of a mouth: small upright grey pictures and the lip points, 25 times a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VIEW_FPS = 25
VIEW_HW = (40, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthView:
    """A mouth on the 25 fps clock from time 0: `crops` uint8 [T, 40, 64], `shape` float32 [T, P, 3], `seen` [T] bool."""

    crops: np.ndarray
    shape: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.seen)


def mouth_crop(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The upright grey mouth uint8 [40, 64] of a frame [H, W, 3] with points [478, 3] in its pixels."""
    raise NotImplementedError


def mouth_view(
    crops: np.ndarray, landmarks: np.ndarray, times_s: np.ndarray, confidence: np.ndarray | None = None
) -> MouthView:
    """Crops [N, 40, 64] (`mouth_crop`) and landmarks [N, 478, 3] of N frames at `times_s` [N], put on the clock."""
    raise NotImplementedError
