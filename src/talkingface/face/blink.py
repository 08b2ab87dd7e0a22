"""Eye closure from the mesh, as data: 0 open, 1 closed."""

from __future__ import annotations

import numpy as np

RIGHT_EYE = {"corners": (33, 133), "upper": (160, 159, 158), "lower": (144, 145, 153)}
LEFT_EYE = {"corners": (362, 263), "upper": (385, 386, 387), "lower": (380, 374, 373)}
CLOSED_SHARE = 0.28  # of the open eye's aspect that the mesh still shows when the lids meet


def eye_aspect(landmarks: np.ndarray) -> np.ndarray:
    """Lid opening over eye width for [..., 478, 3] points, mean of both eyes (Soukupova & Cech 2016). Shape [...]."""
    ratios = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        opening = np.linalg.norm(landmarks[..., eye["upper"], :] - landmarks[..., eye["lower"], :], axis=-1).mean(-1)
        width = np.linalg.norm(landmarks[..., eye["corners"][0], :] - landmarks[..., eye["corners"][1], :], axis=-1)
        ratios.append(opening / np.maximum(width, 1e-6))
    return (ratios[0] + ratios[1]) / 2


def eye_closure(landmarks: np.ndarray) -> np.ndarray:
    """Closure [T, 1] in [0, 1] of a track [T, 478, 3]: eye aspect against the person's own open eyes."""
    aspect = eye_aspect(landmarks)
    open_aspect = np.percentile(aspect, 80)
    closed_aspect = CLOSED_SHARE * open_aspect
    return np.clip((open_aspect - aspect) / (open_aspect - closed_aspect), 0, 1).astype(np.float32)[:, None]
