"""Closing the eyes of the 478 points, and how far a tracked face has closed them."""

from __future__ import annotations

import numpy as np

from talkingface.face.blink import CLOSED_SHARE, eye_aspect
from talkingface.face.topology import LEFT_EYE_LOWER, LEFT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER

LID_MEETING = 0.85  # closing lids meet this far down the eye opening
LID_OVERLAP = 1.05
CREASE_SHARE = 0.45
TREMBLING = 0.1  # share of the opening by which tracked lids move while an eye stays open
WIDEST = -0.6  # closure of eyes torn open
_CREASES = np.array([  # skin above the upper lid, and the lid point that each follows
    (247, 246), (30, 161), (29, 160), (27, 159), (28, 158), (56, 157), (190, 173),
    (467, 466), (260, 388), (259, 387), (257, 386), (258, 385), (286, 384), (414, 398),
])  # fmt: skip
_UPPER = np.array(RIGHT_EYE_UPPER[1:-1] + LEFT_EYE_UPPER[1:-1])
_LOWER = np.array(RIGHT_EYE_LOWER[1:-1] + LEFT_EYE_LOWER[1:-1])


def close_lids(shape: np.ndarray, closure: float) -> np.ndarray:
    """`shape` [478, 3] with both eyes closed by `closure` up to 1; the skin above follows the lid.

    Below 0 they open wider than they are.
    """
    if closure == 0:
        return shape
    moved = np.zeros_like(shape)
    opening = shape[_LOWER] - shape[_UPPER]
    moved[_UPPER] = closure * LID_OVERLAP * LID_MEETING * opening
    moved[_LOWER] = -closure * (1 - LID_MEETING) * opening
    moved[_CREASES[:, 0]] = CREASE_SHARE * moved[_CREASES[:, 1]]
    return shape + moved


def lid_closure(landmarks: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """The `closure` float32 [T] for which `close_lids(neutral, closure)` has the lids of tracked faces [T, 478, 3].

    Trackers never see the lids meet, so what they call nearly closed counts as closed.
    """
    share = 1 - eye_aspect(landmarks) / max(float(eye_aspect(neutral)), 1e-6)
    travel = LID_OVERLAP * LID_MEETING + 1 - LID_MEETING
    closure = np.where(share > 0, share / (1 - CLOSED_SHARE), share / travel)
    return np.clip(closure, WIDEST, 1).astype(np.float32)


def meeting_lids(landmarks: np.ndarray) -> np.ndarray:
    """A track [T, 478, 3] whose lids meet where it has them nearly closed: trackers never see them meet."""
    aspect = eye_aspect(landmarks)
    share = 1 - aspect / max(float(np.percentile(aspect, 80)), 1e-6)
    closure = np.clip((share - TREMBLING) / (1 - CLOSED_SHARE - TREMBLING), 0, 1)
    wanted = np.minimum(1 - closure * (LID_OVERLAP * LID_MEETING + 1 - LID_MEETING), 1 - share)
    gone = (1 - wanted / np.maximum(1 - share, 1e-6))[:, None, None]
    met, opening = landmarks.copy(), landmarks[:, _LOWER] - landmarks[:, _UPPER]
    met[:, _UPPER] += gone * LID_MEETING * opening
    met[:, _LOWER] -= gone * (1 - LID_MEETING) * opening
    return met
