"""Targets for mouth networks: visible measures, their units, and losses on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from talkingface.face.mouth_measures import measure_matrix as measure_matrix
from talkingface.training.speaking_clips import FPS

MEASURE_SCALE = np.array([0.05, 0.04, 0.06], np.float32)
"""Usual standard deviations of gap, width and jaw: the unit of the measures' losses."""


def retime(rows: np.ndarray, speed: float, late_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows [T, D] as they look when played at `speed`, after moving them `late_s` earlier; and which are known [K]."""
    length = len(rows)
    position = np.arange(int((length - 1) / speed) + 1) * speed + late_s * FPS
    known = ((position >= 0) & (position <= length - 1)).astype(np.float32)
    position = np.clip(position, 0, length - 1)
    before = np.minimum(position.astype(int), max(length - 2, 0))
    share = (position - before)[:, None].astype(np.float32)
    return rows[before] * (1 - share) + rows[np.minimum(before + 1, length - 1)] * share, known


def correlation_loss(predicted: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """One minus the correlation over time, [B, T, D] with weights [B, T, 1], mean over rows that move.

    Unlike a squared error it does not punish a speaker for moving more or less than others.
    """
    count = weight.sum(1, keepdim=True).clamp(min=1)
    a = (predicted - (predicted * weight).sum(1, keepdim=True) / count) * weight
    b = (true - (true * weight).sum(1, keepdim=True) / count) * weight
    power = (b * b).sum(1)
    value = (a * b).sum(1) / torch.sqrt(((a * a).sum(1) + 0.05) * (power + 0.05))
    share = (power / count[:, 0] > 0.02).float() * count[:, 0].sqrt()
    return ((1 - value) * share).sum() / share.sum().clamp(min=1)
