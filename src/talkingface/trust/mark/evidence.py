"""From frames to a picture in which the mark stands out from what it was laid on."""

from __future__ import annotations

import cv2
import numpy as np

SIDE_PX = 320
"""Pictures are reduced to this shorter side before anything else."""
_HALVES = 3
_WINDOW_PX = 2.0
_FLOOR = 0.12
_LARGEST = 3.0
_MEAN, _STEP = np.array([0.5, 0.5], np.float32), np.array([0.5, -0.5], np.float32)
_DETAILS = ((_STEP, _MEAN), (_MEAN, _STEP), (_STEP, _STEP))
"""Steps between neighbours across, down and both ways: a vertical edge leaves the second one quiet."""


class Mean:
    """The mean of frames in luma, reduced; memory does not grow with their number."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = np.zeros((0, 0), np.float32)

    def add(self, rgb: np.ndarray) -> None:
        """Take a frame uint8 [H, W, 3]; one of another shape than the first is brought to that."""
        scale = SIDE_PX / min(rgb.shape[:2])
        if scale < 1:
            size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        if not self.count:
            self._sum = np.zeros(luma.shape, np.float32)
        elif luma.shape != self._sum.shape:
            luma = cv2.resize(luma, self._sum.shape[::-1], interpolation=cv2.INTER_AREA)
        self._sum += luma
        self.count += 1

    def picture(self) -> np.ndarray:
        """Mean luma, float32 [H, W]."""
        return self._sum / max(self.count, 1)


def levels(mean: np.ndarray) -> list[np.ndarray]:
    """Evidence at full, half and quarter size, float32 [H, W] each; small pictures have fewer."""
    found = []
    for half in range(_HALVES):
        size = (mean.shape[1] >> half, mean.shape[0] >> half)
        if min(size) >= 32:
            found.append(_whitened(cv2.resize(mean, size, interpolation=cv2.INTER_AREA)))
    return found


def _whitened(picture: np.ndarray) -> np.ndarray:
    """What a linear correlation with the pattern works best on: details, each divided by the variance around it.

    Cells under strong texture say little, those in quiet places much. Dividing by the variance instead of the deviation
    raises the score by a half at equal strength.
    """
    evidence = np.zeros_like(picture)
    for across, down in _DETAILS:
        detail = cv2.sepFilter2D(picture, -1, across, down, anchor=(0, 0), borderType=cv2.BORDER_REFLECT_101)
        variance = cv2.GaussianBlur(detail * detail, (0, 0), _WINDOW_PX)
        deviation = np.sqrt(np.maximum(variance, 0)) + np.float32(_FLOOR)
        detail = np.clip(detail / deviation, -_LARGEST, _LARGEST) / deviation
        evidence += cv2.sepFilter2D(
            detail, -1, across[::-1].copy(), down[::-1].copy(), anchor=(1, 1), borderType=cv2.BORDER_REFLECT_101
        )
    return evidence
