"""People keyed out before one colour: mattes that are known, to train and to judge the matte by.

The key is how far a pixel's colour difference (RGB less its mean) goes the way of the backdrop's, less how far it goes
another way, over how far it does where only the backdrop is seen. What the backdrop adds to a pixel's colour is taken
away again, so no blue rims give the outline away.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

LEAST_KEY, MOST_SPREAD = 40.0, 0.2
"""Of a backdrop: its colour difference in levels, and the deviation of its excess over the mean."""
KEY_RANGE = (0.15, 0.8)
"""Excess over the backdrop's at which a pixel is wholly the person's, and wholly the backdrop's."""
DEEP = 0.015
"""Of the longer side: as far from the backdrop there is no half-transparent hair."""


class Keyed(NamedTuple):
    """A person's opacity float32 [H, W] in [0, 1] and colours times opacity float32 [H, W, 3], free of the backdrop."""

    alpha: np.ndarray
    person: np.ndarray

    def over(self, background: np.ndarray) -> np.ndarray:
        """The person before uint8 [H, W, 3]."""
        return np.clip(self.person + (1 - self.alpha[..., None]) * background + 0.5, 0, 255).astype(np.uint8)


def backdrop_hue(rgb: np.ndarray, most_spread: float = MOST_SPREAD) -> np.ndarray | None:
    """Unit colour difference [3] of both upper corners of uint8 [H, W, 3] if they show an even blue or green."""
    corners = rgb[_corners(rgb)].astype(np.float32)
    mean = corners.mean(0) - corners.mean()
    strength = float(np.linalg.norm(mean))
    if strength < LEAST_KEY or mean[0] > 0:
        return None
    key = excess(corners, mean / strength)
    return mean / strength if key.std() <= most_spread * key.mean() else None


def _corners(rgb: np.ndarray) -> np.ndarray:
    """Where the upper corners are, bool [H, W], without the dark lines at the border of some cameras' pictures."""
    height, width = rgb.shape[:2]
    where = np.zeros((height, width), bool)
    where[height // 30 : height // 5, width // 30 : width // 7] = True
    return where | where[:, ::-1]


def excess(rgb: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """How far colours [..., 3] go the way of a hue [3], less how far they go another way, in levels."""
    colour = rgb.astype(np.float32)
    colour = colour - colour.mean(-1, keepdims=True)
    along = colour @ hue
    return along - np.linalg.norm(colour - along[..., None] * hue, axis=-1)


def key_out(rgb: np.ndarray, hue: np.ndarray) -> Keyed:
    """The person of uint8 [H, W, 3] before an even backdrop of that hue."""
    key = excess(cv2.GaussianBlur(rgb, (0, 0), 0.7), hue)  # blocks and grain of the codec
    sure = key > 0.75 * float(np.median(key[_corners(rgb)]))
    level = _surface(key, sure)
    low, high = KEY_RANGE
    alpha = _whole(1 - np.clip((key / np.maximum(level, 1) - low) / (high - low), 0, 1))
    backdrop = np.dstack([_surface(rgb[..., k].astype(np.float32), sure) for k in range(3)])
    person = np.clip(rgb - (1 - alpha[..., None]) * backdrop, 0, 255 * alpha[..., None])
    person = person - np.where(alpha < 1, np.maximum(excess(person, hue), 0), 0)[..., None] * hue
    return Keyed(alpha.astype(np.float32), person.clip(0, 255).astype(np.float32))


def _surface(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A surface of second degree through the `known` values [H, W], everywhere."""
    y, x = np.mgrid[-1 : 1 : values.shape[0] * 1j, -1 : 1 : values.shape[1] * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1).astype(np.float32)
    some = np.flatnonzero(known)[:: max(1, np.count_nonzero(known) // 4000)]
    factors, *_ = np.linalg.lstsq(terms.reshape(-1, 6)[some], values.reshape(-1)[some], rcond=None)
    return terms @ factors.astype(np.float32)


def _whole(alpha: np.ndarray) -> np.ndarray:
    """A key as one person: clothes of the backdrop's colour deep inside are the person's, and specks outside are not.

    Only what reaches the upper and side borders is backdrop.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.1).astype(np.uint8))
    if len(stats) > 1:
        alpha = np.where(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), alpha, 0)
    _, labels = cv2.connectedComponents((alpha < 0.5).astype(np.uint8))
    sides = labels[: alpha.shape[0] * 2 // 3]
    at_border = np.unique(np.concatenate([labels[0], sides[:, 0], sides[:, -1]]))
    is_person = ~np.isin(labels, at_border[at_border > 0])
    from_backdrop = cv2.distanceTransform(is_person.astype(np.uint8), cv2.DIST_L2, 5)
    return np.where(from_backdrop > DEEP * max(alpha.shape), 1, alpha)
