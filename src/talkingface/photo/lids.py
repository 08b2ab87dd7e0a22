"""The skin of shut lids, made from the skin around an eye.

A lid that shuts shows a strip of the photo many times as high as it is there: its lashes, the fold above it and the
hairs of low brows become streaks. So the strip is first made to differ from the smooth colours of the skin around the
eye by no more than skin does. Trackers put lids within the large eyes of drawings; what is white beside them becomes
skin too.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.raster import Box
from talkingface.photo.eyes import ABOVE, BELOW, EYES

_OVER = np.array([(113, 225, 224, 223, 222, 221, 189), (413, 441, 442, 443, 444, 445, 342)])
_UNDER = np.array([(31, 228, 229, 230, 231, 232, 233), (453, 452, 451, 450, 449, 448, 261)])
_UP, _DOWN = 1.15, 0.4
"""How far the strip reaches, from the lines of points beside the lids to the next ones."""
_LEAST = 0.16  # in eye widths: so far around the eyeball at least
_REACH, _CLEAR = 0.06, 0.03
"""In eye widths: skin is looked for so far beyond the lids' lines of points, and so far from the eyeball."""
_MARGIN = 2  # pixels of the box around the strip
_BRIGHT = 40  # percentile of brightness from which pixels count as skin at first: hair and lashes are dark
_DARKER, _LIGHTER = 1.2, 2.0
"""Deviations at which the weight of a pixel that differs from the skin has fallen to a quarter."""
_STEPS = 12
_STIFFNESS = np.array([0, 0.02, 0.02, 0.1, 0.1])
"""Of the smooth colours' slopes and curves: strips that are half hair say little about them."""
_SHADING, _DOUBT = 0.08, 0.1
"""Over such distances, in eye widths, the smooth colours follow the skin; and how much skin must be near for that."""
_SEEN = (2, 98)  # percentiles of what is seen around the eye, which no smooth colour leaves
_STRETCHED = 0.85  # how much less of what skin shows is kept where lids stretch most
_FADE = 0.4  # of the strip's height: so far within its border it becomes the photo
_SHIFT = 4  # fixed-point bits of corners


@dataclass(frozen=True, slots=True, kw_only=True)
class LidSkin:
    """What changes in a person's picture [H, W, 4] while both eyes shut: in each of the `boxes`, the change int16
    [h, w, 4] of a shut one."""

    boxes: tuple[Box, Box]
    changes: tuple[np.ndarray, np.ndarray]

    def lay(self, picture: np.ndarray, person: np.ndarray, closing: np.ndarray) -> None:
        """Write `person` with the lids of eyes shut by `closing` [2], from 0 to 1, into `picture`, in place."""
        for (x0, y0, x1, y1), change, share in zip(self.boxes, self.changes, closing, strict=True):
            part = person[y0:y1, x0:x1]
            picture[y0:y1, x0:x1] = part if share == 0 else np.round(part + np.float32(share) * change)


def lid_skin(person: np.ndarray, points: np.ndarray) -> LidSkin:
    """From a person's colours times opacity uint8 [H, W, 4] and landmarks [478, 3]."""
    xy = points[:, :2].astype(np.float64)
    first, second = (_of_eye(person, xy, eye) for eye in range(2))
    return LidSkin(boxes=(first[0], second[0]), changes=(first[1], second[1]))


def _of_eye(person: np.ndarray, xy: np.ndarray, eye: int) -> tuple[Box, np.ndarray]:
    upper, lower, _ = EYES[eye]
    across = xy[upper[-1]] - xy[upper[0]]
    width = max(float(np.linalg.norm(across)), 1e-6)
    lids = np.concatenate([xy[list(upper)], xy[list(lower[-2:0:-1])]])
    above, below = (
        xy[near[eye]] + share * (xy[far[eye]] - xy[near[eye]])
        for near, far, share in ((ABOVE, _OVER, _UP), (BELOW, _UNDER, _DOWN))
    )
    ring = np.concatenate([above, below[::-1]])
    reach = max(1, round(_REACH * width))
    low = np.floor(np.minimum(ring.min(0), lids.min(0))).astype(int) - reach - _MARGIN
    high = np.ceil(np.maximum(ring.max(0), lids.max(0))).astype(int) + reach + _MARGIN
    x0, y0 = np.maximum(low, 0).tolist()
    x1, y1 = np.minimum(high, (person.shape[1], person.shape[0])).tolist()
    box = x0, y0, max(x0, x1), max(y0, y1)
    part = person[box[1] : box[3], box[0] : box[2]].astype(np.float64)
    change = np.zeros(part.shape, np.int16)
    if part.size == 0:
        return box, change
    ball = _filled(lids - (x0, y0), part.shape)
    strip = _filled(cv2.convexHull(ring.astype(np.float32))[:, 0] - (x0, y0), part.shape)
    strip = np.maximum(strip, _grown(ball, round(_LEAST * width)))  # points crowd on the far side of turned faces
    around = (_grown(strip, reach) > 0) & (_grown(ball, max(1, round(_CLEAR * width))) == 0) & (part[..., 3] == 255)
    if np.count_nonzero(around) < 2 * len(_STIFFNESS):
        return box, change
    places = (np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1) + 0.5 - lids.mean(0)) / width
    along = across / width
    skin, spread = _smooth(part[..., :3], around, places @ along, places @ (-along[1], along[0]), _SHADING * width)
    height = np.linalg.norm(above - xy[list(upper[1:-1])], axis=-1).mean()
    inner = np.clip(cv2.distanceTransform(strip, cv2.DIST_L2, 5) / (_FADE * height + 1), 0, 1)
    share = np.where(ball > 0, 0, inner * inner * (3 - 2 * inner)) * (part[..., 3] == 255)
    kept = spread * (1 - _STRETCHED * share[..., None])
    cleaned = skin + kept * np.tanh((part[..., :3] - skin) / kept)
    change[..., :3] = np.round(share[..., None] * (cleaned.clip(0, 255) - part[..., :3]))
    return box, change


def _smooth(
    part: np.ndarray, around: np.ndarray, x: np.ndarray, y: np.ndarray, shading_px: float
) -> tuple[np.ndarray, float]:
    """Smooth colours [h, w, 3] of the skin among the pixels `around` of `part`, and how far skin differs from them.

    Places `x`, `y` [h, w] are along the eye and down from it. Hair is told from skin by being darker than most.
    """
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y], axis=-1)
    rows, colours = terms[around], part[around]
    brightness = colours.mean(-1)
    stiffness = np.diag(_STIFFNESS) * len(rows)
    weights, spread = (brightness >= np.percentile(brightness, _BRIGHT)).astype(np.float64), 1.0
    for _ in range(_STEPS):
        weighted = rows * weights[:, None]
        apart = brightness - rows @ np.linalg.solve(weighted.T @ rows + stiffness, weighted.T @ brightness)
        spread = 1 + 1.4826 * float(np.median(np.abs(apart[weights > 0.3 * weights.max()])))
        weights = (1 + (apart / spread / np.where(apart < 0, _DARKER, _LIGHTER)) ** 2) ** -2.0
    weighted = rows * weights[:, None]
    found = terms @ np.linalg.solve(weighted.T @ rows + stiffness, weighted.T @ colours)
    found = np.clip(found, *np.percentile(colours, _SEEN, axis=0))
    known = np.zeros(x.shape)
    known[around] = weights
    near = cv2.GaussianBlur(np.dstack([known[..., None] * (part - found), known]), (0, 0), shading_px)
    return found + near[..., :3] / (near[..., 3:] + _DOUBT), spread


def _filled(ring: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round((ring - 0.5) * (1 << _SHIFT)).astype(np.int32)], (255,), shift=_SHIFT)
    return mask


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=pixels)
