"""68 points of the face, as many systems know them: where motion puts them, and drawings of them."""

from __future__ import annotations

import cv2
import numpy as np

from talkingface.core.types import Motion
from talkingface.face.morphable import load_mesh478

EYES, MOUTH = range(36, 48), range(48, 68)
EYES_RGB, MOUTH_RGB, REST_RGB = (80, 170, 255), (255, 90, 80), (95, 215, 130)
_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Upper lid, lower lid."""
_GROUND_RGB = (24, 26, 30)
_PLOT_EYES = 3.0
"""The side of a plot in eye distances; a face is about 2.4 high."""
_SUBPIXEL_BITS = 4


def mesh478_landmarks(motion: Motion) -> np.ndarray:
    """The 68 points of a mean face that moves as `motion` in space `mesh478` says, without its head pose: float32
    [T, 68, 3].

    In eye distances about the middle of the resting points, x right, y down, z away from the viewer. Eyes close with
    the motion's blinks.
    """
    model = load_mesh478()
    rest = model.mean[model.landmarks68].astype(np.float64)
    unit = np.linalg.norm(np.diff(rest[36:48].reshape(2, 6, 3).mean(axis=1), axis=0))
    points = rest + np.einsum("vde,te->tvd", model.expression[model.landmarks68], motion.expression)
    points -= (rest.min(axis=0) + rest.max(axis=0)) / 2
    if motion.blink is not None:
        for upper, lower in _LIDS:
            points[:, upper] += motion.blink * (points[:, lower] - points[:, upper])
    return (points / unit).astype(np.float32)


def draw_landmarks(rgb: np.ndarray, points: np.ndarray, *, numbers: bool = False, radius_px: float = 2.0) -> None:
    """Draw 68 points [68, 2], in pixels of the picture uint8 [H, W, 3], onto it: eyes, mouth and the rest in colours of
    their own, with their `numbers` if asked."""
    scale = 1 << _SUBPIXEL_BITS
    for index, (x, y) in enumerate(np.clip(points[:, :2], -1e4, 1e4)):
        colour = EYES_RGB if index in EYES else MOUTH_RGB if index in MOUTH else REST_RGB
        place = (round(float(x - 0.5) * scale), round(float(y - 0.5) * scale))
        cv2.circle(rgb, place, round(radius_px * scale), colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        if numbers:
            beside = (int(x) + 4, int(y) - 3)
            cv2.putText(rgb, str(index), beside, cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour, 1, cv2.LINE_AA)


def plot_landmarks(points: np.ndarray, size_px: int, *, numbers: bool = False) -> np.ndarray:
    """Points [68, 3] of `mesh478_landmarks` seen from the front on a plain ground, uint8 [size_px, size_px, 3]."""
    picture = np.full((size_px, size_px, 3), _GROUND_RGB, np.uint8)
    scale = size_px / _PLOT_EYES
    draw_landmarks(picture, points[:, :2] * scale + size_px / 2, numbers=numbers, radius_px=size_px / 200)
    return picture
