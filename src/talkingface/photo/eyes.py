"""Eyes that look elsewhere than in the photo, and that shut.

Between the lids the mesh has inner points, and what they show of the photo is shifted: as a whole around the iris, less
towards the corners, where the eye meets the skin. Tracked lid points lie in the lashes or a little within the eye, so
lids that shut show what lies behind them, and a line in the colour of the lashes is drawn where they meet.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import cv2
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
CLOSING = (0.1, 0.8)
"""Shares of the opening that are gone when lids begin to count as closing, and as shut."""
UPPER_SLIDE, LOWER_SLIDE = 0.4, 0.5
"""How far the edge of a shut lid shows skin away from the eye: of the way to the next line of points."""
MIN_OPEN = 0.03
"""Eyes open less than this, in eye widths, count as so far open: they hardly close further."""
LASH_WIDTH, LASH_SHARE = 0.055, 0.9
"""Of the line where lids meet: width in eye widths, opacity."""
EDGE_BLUR_PX, MOVED = 0.7, 0.08
"""Edges of lids that moved by `MOVED` of the opening are softened so far, others less."""
LASH_CONTRAST = 0.7  # that line is at most so bright, against the lid's skin
_LASH_SEEN = (-0.15, -0.1, -0.05, 0.0, 0.05)  # where lashes are looked for, down from the lid in openings
EYES = ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, 468), (LEFT_EYE_UPPER, LEFT_EYE_LOWER, 473))
_UPPER = np.array([upper[1:-1] for upper, _, _ in EYES])
_LOWER = np.array([lower[1:-1] for _, lower, _ in EYES])
_IRISES = np.array([iris for _, _, iris in EYES])
_CORNERS = np.array([(upper[0], upper[-1]) for upper, _, _ in EYES])
ABOVE = np.array([(247, 30, 29, 27, 28, 56, 190), (414, 286, 258, 257, 259, 260, 467)])
BELOW = np.array([(25, 110, 24, 23, 22, 26, 112), (341, 256, 252, 253, 254, 339, 255)])
_TAPER = np.sin(np.pi * np.linspace(0, 1, 9)) ** 0.5
_SHIFT = 4  # fixed-point bits of a line's corners
_PLACE = {point: number for number, point in enumerate(LIDS)}


@functools.cache
def inner_shares() -> np.ndarray:
    """How the inner points lie between the lid points: float32 [K, L], rows sum to 1."""
    rows = []
    for upper, lower, _ in EYES:
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
    for upper, lower, _ in EYES:
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
    iris lies from the middle of its eyeball. `open` [2] is how far each is open, in eye widths; `lashes` [2, 3] their
    colours; `slides` [2, 2, 7, 2] how far skin behind the edge of each upper and lower lid lies from it. `edges` [L, 2]
    are the lid points, `outwards` [L, 2] unit vectors away from the eye, 0 at its corners.
    """

    centre: np.ndarray
    radius: np.ndarray
    along: np.ndarray
    ends: np.ndarray
    opening: float
    ball: float
    open: np.ndarray
    lashes: np.ndarray
    slides: np.ndarray
    edges: np.ndarray
    outwards: np.ndarray

    def shift(self, gaze: np.ndarray, head: np.ndarray) -> np.ndarray:
        """How far [2] the irises move in a head that has turned by `head` [3, 3], for a row of `Motion.gaze` [2].

        Softly limited to what the photo shows of the eyeballs.
        """
        right, down = np.sin(gaze.astype(np.float64))
        sight = head.T @ np.array([right, down, -np.sqrt(max(1 - right * right - down * down, 0.0))])
        return self._limited(self.ball * sight[:2])

    def followed(self, upright: np.ndarray) -> np.ndarray:
        """The same for tracked landmarks [478, 3] in the photo's own pose: how far they have moved in the eyes."""
        moved = upright[_IRISES, :2].mean(0) - self.centre.mean(0)
        corners = upright[_CORNERS, :2] - self.edges[[_PLACE[point] for point in _CORNERS.ravel()]].reshape(2, 2, 2)
        return self._limited(moved - corners.mean((0, 1)))

    def _limited(self, wanted: np.ndarray) -> np.ndarray:
        free = self.ends - IRIS_REACH * self.radius[:, None]
        left, right = np.maximum(FREE_SHARE * free.min(axis=0), 1e-3)
        most = np.array([left if wanted[0] < 0 else right, OPENING_SHARE * self.opening + 1e-3])
        most = np.minimum(most, self.ball * np.sin(MAX_TURN_RAD))
        return most * np.tanh(wanted / most)

    def lids(self, shift: np.ndarray) -> float:
        """How much further the upper lids close as they follow the irises: a share of the opening."""
        return LIDS_FOLLOW * float(shift[1]) / max(self.opening, 1.0)

    def within(self, places: np.ndarray) -> np.ndarray:
        """Lid and inner points [L + K, 2] for lid points at `places` [L, 2], none beyond the lids of the photo.

        So lids that open wider than there uncover no more of the eyeball than it shows, and stretch that.
        """
        beyond = ((places - self.edges) * self.outwards).sum(-1, keepdims=True)
        found = places - np.maximum(beyond, 0) * self.outwards
        return np.concatenate([found, inner_shares() @ found])

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

    def closing(self, upright: np.ndarray) -> np.ndarray:
        """How far lids are shut, each eye from 0 to 1: [2]; `upright` landmarks [478, 3] in the photo's own pose."""
        low, high = CLOSING
        return _smoothstep((self._gone(upright) - low) / (high - low))

    def _gone(self, upright: np.ndarray) -> np.ndarray:
        return 1 - _openness(upright) / np.maximum(self.open, MIN_OPEN)

    def uncover(self, shown: np.ndarray, upright: np.ndarray) -> None:
        """Let lids that close show skin behind their edges: changes `shown` [>= 478, 2] in place (see `closing`)."""
        closing = self.closing(upright)
        if closing.any():
            for lid, slide in zip((_UPPER, _LOWER), self.slides, strict=True):
                shown[lid] += closing[:, None, None] * slide

    def draw_lashes(self, out: np.ndarray, target: np.ndarray, upright: np.ndarray) -> None:
        """Soften the edges of lids that moved and draw the line where lids of `target` [478, 3] meet into `out`
        uint8 [H, W, 3], in place (`upright`: see `closing`). The warp cuts lids off at whole pixels."""
        softness = np.clip(np.abs(self._gone(upright)) / MOVED, 0, 1)
        opacity = LASH_SHARE * np.minimum(1.5 * self.closing(upright), 1)
        for eye in np.flatnonzero(softness > 0.1):
            upper, lower = (target[list(lid), :2] for lid in EYES[eye][:2])
            _draw_line(out, lower, self.lashes[eye], float(softness[eye]), 0.0)
            _draw_line(out, upper, self.lashes[eye], float(softness[eye]), float(opacity[eye]))


def find_eyes(points: np.ndarray, rgb: np.ndarray) -> Eyes:
    """The eyes of a photo uint8 [H, W, 3] with landmarks [478, 3]."""
    eyes = [_find_eye(points, upper, lower, iris) for upper, lower, iris in EYES]
    centre, radius, along, ends, opening = (np.array(part) for part in zip(*eyes, strict=True))
    ball = EYEBALL * float(np.linalg.norm(points[33, :2] - points[263, :2]))
    xy = points[:, :2].astype(np.float64)
    slides = [
        share * (xy[beyond] - xy[lid])
        for lid, beyond, share in ((_UPPER, ABOVE, UPPER_SLIDE), (_LOWER, BELOW, LOWER_SLIDE))
    ]
    return Eyes(
        centre=centre,
        radius=radius,
        along=along,
        ends=ends,
        opening=float(opening.mean()),
        ball=ball,
        open=_openness(points),
        lashes=np.array([_lash_colour(rgb, xy, eye) for eye in range(2)]),
        slides=np.array(slides),
        edges=xy[list(LIDS)],
        outwards=_outwards(xy),
    )


def _outwards(xy: np.ndarray) -> np.ndarray:
    """Unit vectors [L, 2] from each lid point's opposite to it, 0 at the corners."""
    apart = np.zeros_like(xy)
    apart[_UPPER] = xy[_UPPER] - xy[_LOWER]
    apart[_LOWER] = -apart[_UPPER]
    apart = apart[list(LIDS)]
    return apart / np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-6)


def _openness(points: np.ndarray) -> np.ndarray:
    """How far the lids of landmarks [478, 3] are apart, in eye widths; below 0 once they overlap: [2]."""
    left, right = points[_CORNERS[:, 0], :2], points[_CORNERS[:, 1], :2]
    width = np.maximum(np.linalg.norm(right - left, axis=-1, keepdims=True), 1e-6)
    along = (right - left) / width
    apart = (points[_LOWER, :2] - points[_UPPER, :2]).mean(1)
    return (along[:, 0] * apart[:, 1] - along[:, 1] * apart[:, 0]) / width[:, 0]


def _lash_colour(rgb: np.ndarray, xy: np.ndarray, eye: int) -> np.ndarray:
    """The colour [3] of the darkest line along an upper lid, at any rate darker than the lid."""
    top, bottom, above = xy[_UPPER[eye]], xy[_LOWER[eye]], xy[ABOVE[eye]]
    places = [top + share * (bottom - top) for share in _LASH_SEEN]
    seen = _pixels(rgb, np.array(places))
    darkest = np.take_along_axis(seen, seen.mean(-1)[..., None].argmin(0)[None], 0)[0].mean(0)
    skin = _pixels(rgb, (top + above) / 2).mean()
    return darkest * min(1.0, LASH_CONTRAST * skin / max(float(darkest.mean()), 1.0))


def _pixels(rgb: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The colours [..., 3] at `places` [..., 2]; beside the picture its border's."""
    x, y = (np.clip(places[..., k].astype(int), 0, rgb.shape[1 - k] - 1) for k in range(2))
    return rgb[y, x].astype(np.float64)


def _draw_line(out: np.ndarray, line: np.ndarray, colour: np.ndarray, softness: float, opacity: float) -> None:
    """Soften `out` uint8 [H, W, 3] in a band along `line` [N, 2] that is thin at its ends, and lay `colour` over it."""
    along = line[-1] - line[0]
    across = LASH_WIDTH / 2 * np.array([-along[1], along[0]])
    across *= max(1.0, 1 / max(float(np.linalg.norm(across)), 1e-6))  # at least a pixel to each side
    ring = np.concatenate([line + _TAPER[:, None] * across, (line - _TAPER[:, None] * across)[::-1]])
    margin = 1 + float(np.linalg.norm(across))
    x0, y0 = np.maximum(np.floor(ring.min(0) - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(ring.max(0) + margin), (out.shape[1], out.shape[0])).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    fixed = np.round((ring - (x0, y0) - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], (255,), lineType=cv2.LINE_AA, shift=_SHIFT)
    band = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), margin / 3)[..., None]
    part = out[y0:y1, x0:x1]
    soft = cv2.GaussianBlur(part, (0, 0), EDGE_BLUR_PX)
    mixed = part + softness * band * (soft.astype(np.float32) - part)
    part[:] = np.round(mixed + opacity * band * (colour - mixed))


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
    for upper, lower, _ in EYES:
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
