"""Eyes that look elsewhere than in the photo: its own eyeball, shifted under the lids.

Between the lids the mesh has inner points, and what they show of the photo is shifted: as a whole around the iris, less
towards the corners, where the eye meets the skin.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from talkingface.face.gaze import EYEBALL
from talkingface.face.topology import LEFT_EYE_LOWER, LEFT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER

LIDS = tuple(dict.fromkeys(RIGHT_EYE_UPPER + RIGHT_EYE_LOWER + LEFT_EYE_UPPER + LEFT_EYE_LOWER))
"""The points that are doubled: one follows the lid, its twin bounds the eyeball that is seen."""
ROWS = 3
"""Inner points between an upper and a lower lid point."""
IRIS_REACH = 1.15
"""Within so many iris radii the eye moves as a whole."""
FREE_SHARE, OPENING_SHARE = 0.45, 0.3
"""How far irises may move: of the white beside them, which gets narrower, and of the opening."""
MAX_TURN_RAD = 0.16
LIDS_FOLLOW = 0.8
_EYES = ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, 468), (LEFT_EYE_UPPER, LEFT_EYE_LOWER, 473))
_PLACE = {point: number for number, point in enumerate(LIDS)}


@functools.cache
def inner_shares() -> np.ndarray:
    """How the inner points lie between the lid points: float32 [K, L], rows sum to 1."""
    rows = []
    for upper, lower, _ in _EYES:
        for top, bottom in zip(upper[1:-1], lower[1:-1], strict=True):
            for k in range(1, ROWS + 1):
                row = np.zeros(len(LIDS), np.float32)
                row[_PLACE[bottom]] = k / (ROWS + 1)
                row[_PLACE[top]] = 1 - k / (ROWS + 1)
                rows.append(row)
    return np.array(rows)


@functools.cache
def eyeball_triangles() -> np.ndarray:
    """Triangles int32 [F, 3] that fill both eye openings; they number the lid points first, then the inner points."""
    faces, first = [], len(LIDS)
    for upper, lower, _ in _EYES:
        columns = [[_PLACE[upper[0]]] * (ROWS + 2)]
        for top, bottom in zip(upper[1:-1], lower[1:-1], strict=True):
            columns.append([_PLACE[top], *range(first, first + ROWS), _PLACE[bottom]])
            first += ROWS
        columns.append([_PLACE[upper[-1]]] * (ROWS + 2))
        for left, right in itertools.pairwise(columns):
            for k in range(ROWS + 1):
                faces += [(left[k], right[k], left[k + 1]), (right[k], right[k + 1], left[k + 1])]
    return np.array([face for face in faces if len(set(face)) == 3], np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """Both eyes of a photo in its pixels, left one in the picture first.

    `centre` [2, 2] and `radius` [2] of the irises; unit vectors `along` [2, 2] from an eye's left to its right corner;
    `ends` [2, 2] how far those corners lie from the iris; `opening` mean height between the lids; `ball` how far an
    iris lies from the middle of its eyeball.
    """

    centre: np.ndarray
    radius: np.ndarray
    along: np.ndarray
    ends: np.ndarray
    opening: float
    ball: float

    def shift(self, gaze: np.ndarray, head: np.ndarray) -> np.ndarray:
        """How far [2] the irises move in a head that has turned by `head` [3, 3], for a row of `Motion.gaze` [2].

        Softly limited to what the photo shows of the eyeballs.
        """
        right, down = np.sin(gaze.astype(np.float64))
        sight = head.T @ np.array([right, down, -np.sqrt(max(1 - right * right - down * down, 0.0))])
        wanted = self.ball * sight[:2]
        free = self.ends - IRIS_REACH * self.radius[:, None]
        left, right = np.maximum(FREE_SHARE * free.min(axis=0), 1e-3)
        most = np.array([left if wanted[0] < 0 else right, OPENING_SHARE * self.opening + 1e-3])
        most = np.minimum(most, self.ball * np.sin(MAX_TURN_RAD))
        return most * np.tanh(wanted / most)

    def lids(self, shift: np.ndarray) -> float:
        """How much further the upper lids close as they follow the irises: a share of the opening."""
        return LIDS_FOLLOW * float(shift[1]) / max(self.opening, 1.0)

    def shown(self, places: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """What lid and inner points at `places` [L + K, 2] show of the photo once the irises have moved by `shift`."""
        found = places.copy()
        for eye, points in enumerate(_points_of_eyes()):
            along = self.along[eye]
            x = (places[points] - self.centre[eye]) @ along
            end = np.where(x < 0, self.ends[eye, 0], self.ends[eye, 1])
            near = IRIS_REACH * self.radius[eye]
            share = 1 - _smoothstep((np.abs(x) - near) / np.maximum(end - near, 1e-3))
            lengthwise = (shift @ along) * along
            across = np.outer(_across_shares()[points], shift - lengthwise)
            found[points] -= share[:, None] * (lengthwise + across)
        return found


def find_eyes(points: np.ndarray) -> Eyes:
    """The eyes of landmarks [478, 3]."""
    eyes = [_find_eye(points, upper, lower, iris) for upper, lower, iris in _EYES]
    centre, radius, along, ends, opening = (np.array(part) for part in zip(*eyes, strict=True))
    ball = EYEBALL * float(np.linalg.norm(points[33, :2] - points[263, :2]))
    return Eyes(centre=centre, radius=radius, along=along, ends=ends, opening=float(opening.mean()), ball=ball)


def _find_eye(points: np.ndarray, upper: tuple[int, ...], lower: tuple[int, ...], iris: int) -> tuple[object, ...]:
    left, right, middle = points[upper[0], :2], points[upper[-1], :2], points[iris, :2]
    along = (right - left) / max(float(np.linalg.norm(right - left)), 1e-6)
    radius = np.linalg.norm(points[iris + 1 : iris + 5, :2] - middle, axis=1).mean()
    opening = np.linalg.norm(points[list(upper[3:6]), :2] - points[list(lower[3:6]), :2], axis=1).mean()
    return middle, radius, along, np.array([(middle - left) @ along, (right - middle) @ along]), opening


@functools.cache
def _points_of_eyes() -> tuple[np.ndarray, np.ndarray]:
    found = []
    inner = inner_shares()
    for upper, lower, _ in _EYES:
        lids = np.array(sorted({_PLACE[point] for point in upper + lower}))
        found.append(np.concatenate([lids, len(LIDS) + np.flatnonzero(inner[:, lids].sum(1) > 0)]))
    return found[0], found[1]


@functools.cache
def _across_shares() -> np.ndarray:
    """How much of a movement across the eye lid and inner points make: [L + K], nothing at the lids."""
    t = np.tile(np.arange(1, ROWS + 1) / (ROWS + 1), len(inner_shares()) // ROWS)
    return np.concatenate([np.zeros(len(LIDS)), np.sin(np.pi * t)])


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
