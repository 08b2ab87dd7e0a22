"""Identity features that the memory stores: what a true face looks like, as one vector of length one.

The original takes ArcFace. Of one person it says little beyond who it is; what the generator lacks is how skin, mouth
and light look at this moment. So without imported ArcFace weights the feature is a small picture of the face itself,
cut out by its own transform: how it differs from the person's mean face, with a constant number beside it. The constant
is such that moments alike by about four fifths count as the same (`memory.SAME_IDENTITY`), as neighbouring frames are.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

CONSTANT = 3.0
"""The constant number, in typical distances of a face from the mean face."""


def thumb_side(feature: int) -> int:
    """The side of the small picture whose colours and the constant fit into a feature of that length."""
    return max(1, math.isqrt((feature - 1) // 3))


def thumbnail(crop: np.ndarray, side: int) -> np.ndarray:
    """The middle of a face's own crop uint8 [224, 224, 3] as [side, side, 3]: eyebrows to chin, cheek to cheek."""
    edge = crop.shape[0] // 6
    return cv2.resize(crop[edge:-edge, edge:-edge], (side, side), interpolation=cv2.INTER_AREA)


def picture_features(thumbs: np.ndarray, feature: int) -> np.ndarray:
    """Unit features float32 [N, feature] of the thumbnails uint8 [N, G, G, 3] of one person."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    away = flat - flat.mean(axis=0)
    typical = max(1e-3, float(np.sqrt((away**2).sum(axis=1).mean())))
    rows = np.zeros((len(flat), feature), np.float32)
    rows[:, : away.shape[1]] = away / typical
    rows[:, -1] = CONSTANT
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
