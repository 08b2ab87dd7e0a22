"""Which identity feature each frame is drawn with: few are retrieved, the rest lie between them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PERIOD = 25
"""Frames from one retrieved feature to the next."""


def feature_frames(count: int, period: int = PERIOD) -> list[int]:
    """The frames whose features are retrieved: every `period`-th and the last of `count`, ascending.

    >>> feature_frames(60)
    [0, 25, 50, 59]
    """
    return sorted({*range(0, count, period), count - 1} if count > 0 else ())


def spread_features(features: Tensor, frames: list[int], count: int) -> Tensor:
    """Features [K, D] of the ascending `frames` -> of all `count` frames [count, D], linear in between.

    Before the first and after the last of `frames` the nearest one holds. Lengths are not brought to one again: the
    generator was trained to cope with shorter features.
    """
    if len(features) != len(frames) or not frames:
        raise ValueError(f"{len(features)} features for {len(frames)} frames")
    # where each frame lies among `frames`, as a fraction
    places = np.interp(np.arange(count), frames, np.arange(len(frames)))
    low = np.minimum(places.astype(np.int64), max(0, len(frames) - 2))
    share = torch.from_numpy(places - low).to(features)[:, None]
    high = torch.from_numpy(np.minimum(low + 1, len(frames) - 1))
    return torch.lerp(features[torch.from_numpy(low)], features[high], share)
