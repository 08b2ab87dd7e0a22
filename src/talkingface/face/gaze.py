"""Where eyes look, measured from the irises of a track."""

from __future__ import annotations

import numpy as np

EYEBALL = 0.115
"""Distance of the iris from the middle of the eyeball, in distances between the outer eye corners."""
_IRISES = (468, 473)
_CORNERS = ((33, 133), (362, 263))


def gaze_of(landmarks: np.ndarray) -> np.ndarray:
    """Where the irises stand in their eyes, [T, 2, 2], along the eye and across it in eye distances."""
    xy = landmarks[..., :2].astype(np.float64)
    unit = np.linalg.norm(xy[:, 33] - xy[:, 263], axis=-1)[:, None]
    along = (xy[:, 263] - xy[:, 33]) / unit
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    offsets = [xy[:, iris] - xy[:, list(ends)].mean(1) for iris, ends in zip(_IRISES, _CORNERS, strict=True)]
    return np.stack([np.stack([(o * along).sum(-1), (o * across).sum(-1)], -1) / unit for o in offsets], 1)


def gaze_rows(landmarks: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """`Motion.gaze` [T, 2] of a track [T, 478, 3] whose head turns by `pose` [T, >= 2], about no particular rest.

    The tracker's noise is a degree and a half, and shut lids hide the irises: only differences over several frames with
    open eyes say something.
    """
    turned = np.arcsin(np.clip(gaze_of(landmarks).mean(axis=1) / EYEBALL, -1, 1))
    return turned + np.stack([-pose[:, 1], pose[:, 0]], axis=1)
