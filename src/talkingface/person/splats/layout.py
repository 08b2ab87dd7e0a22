"""Where a person's splats lie before they learn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.morphable import LinearFaceModel
from talkingface.face.pose import Pose
from talkingface.face.subdivision import mesh478_surface
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER, LEFT_EYE_LOWER, RIGHT_EYE_LOWER
from talkingface.person.splats.config import SplatConfig

CHIN = (152, 148, 377)
"""Points that show where the lower jaw is."""
TEETH_SPACING, EYE_SPACING = 0.02, 0.02
_TEETH_HALF, _UPPER, _LOWER, _TEETH_BEHIND = 0.34, (-0.10, 0.20), (-0.20, 0.12), 0.10
_EYE_HALF, _EYE_BEHIND = (0.21, 0.13), 0.03
_HEAD_DEEP = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which splats there are. `triangles` int32 [F, 3] of the refined mesh: `skin` of them, then those that fill eyes
    and mouth. Then the free ones: `sheets` of eyes and teeth, then the scene; all float32.

    `home` [M, 3] model units: their places in the head at rest; `spacing` [M] between them; `jaw` and `eye` [M]: by how
    much they move with the lower jaw and with gaze; `follow` [M]: how far they follow the head, 0 to 1.
    """

    triangles: np.ndarray
    skin: int
    sheets: int
    home: np.ndarray
    spacing: np.ndarray
    jaw: np.ndarray
    eye: np.ndarray
    follow: np.ndarray

    @property
    def surface(self) -> int:
        """Splats on the mesh."""
        return len(self.triangles)


def jaw_directions(model: LinearFaceModel) -> np.ndarray:
    """How far the lower jaw moves by each coefficient of expression: [3, E] model units."""
    return model.expression[list(CHIN)].mean(0)


def make_layout(
    neutral: np.ndarray, rest: Pose, share: np.ndarray, detail: np.ndarray, config: SplatConfig, seed: int
) -> Layout:
    """The layout of a person: `neutral` [478, 3] model units, `rest` in canvas px; `share` [H, W]: in how many frames a
    pixel shows the person; `detail` [H, W]: how finely splats must lie there, any scale."""
    surface = mesh478_surface(config.level)
    sheets = [*_eye_sheets(neutral), *_teeth_sheets(neutral)]
    scene = _scene(neutral, rest, share, detail, config, seed)
    parts = [*sheets, scene]
    home, spacing, jaw, eye, follow = (np.concatenate([part[k] for part in parts]).astype(np.float32) for k in range(5))
    return Layout(
        triangles=surface.triangles, skin=len(surface.skin), sheets=sum(len(part[0]) for part in sheets),
        home=home, spacing=spacing, jaw=jaw, eye=eye, follow=follow,
    )  # fmt: skip


_Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _sheet(
    middle: np.ndarray, x: tuple[float, float], y: tuple[float, float], spacing: float, jaw: float, eye: float
) -> _Part:
    xs, ys = np.meshgrid(np.arange(x[0], x[1] + 1e-6, spacing), np.arange(y[0], y[1] + 1e-6, spacing))
    home = np.stack([xs.ravel(), ys.ravel(), np.zeros(xs.size)], 1) + middle
    ones = np.ones(len(home))
    return home, spacing * ones, jaw * ones, eye * ones, ones


def _eye_sheets(neutral: np.ndarray) -> list[_Part]:
    found = []
    for line in (RIGHT_EYE_LOWER, LEFT_EYE_LOWER):
        middle = (neutral[line[0]] + neutral[line[-1]]) / 2 + [0, 0, _EYE_BEHIND]
        found.append(_sheet(middle, (-_EYE_HALF[0], _EYE_HALF[0]), (-_EYE_HALF[1], _EYE_HALF[1]), EYE_SPACING, 0, 1))
    return found


def _teeth_sheets(neutral: np.ndarray) -> list[_Part]:
    lips = neutral[[*INNER_LIP_UPPER, *INNER_LIP_LOWER]]
    middle = lips.mean(0)
    middle[2] = lips[:, 2].min() + _TEETH_BEHIND
    across = (-_TEETH_HALF, _TEETH_HALF)
    return [
        _sheet(middle, across, _UPPER, TEETH_SPACING, 0, 0),
        _sheet(middle, across, _LOWER, TEETH_SPACING, 1, 0),
    ]


def _scene(
    neutral: np.ndarray, rest: Pose, share: np.ndarray, detail: np.ndarray, config: SplatConfig, seed: int
) -> _Part:
    """Splats where the person is seen beyond the face: closer where there is more to see."""
    height, width = share.shape
    near = cv2.dilate((share > 0.02).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    density = np.where(near, detail, 0).astype(np.float64)
    density /= max(density.sum(), 1e-9)
    points = _spread(density, config.scene, np.random.default_rng(seed))
    cell = density[points[:, 1].astype(int), points[:, 0].astype(int)] * config.scene
    spacing = np.clip(1 / np.sqrt(np.maximum(cell, 1e-6)), 1.0, 0.05 * max(width, height))
    # depth: on an ellipsoid about the head, and beyond it in its middle plane, which is where the neck is
    unit = rest.scale
    shape = rest.apply(neutral)
    centre, half = (shape.min(0) + shape.max(0)) / 2, np.ptp(shape, 0) / 2
    away = ((points - centre[:2]) / (1.35 * half[:2])) ** 2
    deep = shape[:, 2].max() + 0.35 * unit
    z = deep - _HEAD_DEEP * 0.6 * unit * np.sqrt(np.maximum(1 - away.sum(1), 0))
    home = rest.undo(np.concatenate([points, z[:, None]], 1))
    chin = shape[152, 1]
    below = np.clip((points[:, 1] - chin) / (0.9 * unit), -0.1, 1)
    beside = np.clip(np.abs(points[:, 0] - centre[0]) / half[0] - 1.1, 0, 1)
    follow = np.clip(1 - below - beside * (points[:, 1] > shape[1, 1]), 0.03, 0.97)
    none = np.zeros(len(home))
    return home, spacing / unit, none, none, follow


def _spread(density: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """`count` points [N, 2] (x, y) spread evenly by `density` [H, W] of sum 1: along rows cut by equal shares."""
    order = _hilbert(density.shape)
    total = np.cumsum(density.ravel()[order])
    at = np.searchsorted(total, (np.arange(count) + random.random(count)) / count * total[-1])
    flat = order[np.minimum(at, len(order) - 1)]
    y, x = np.divmod(flat, density.shape[1])
    return np.stack([x, y], 1) + random.random((count, 2))


def _hilbert(shape: tuple[int, int]) -> np.ndarray:
    """Pixels of a picture in the order of a Hilbert curve: neighbours on it are neighbours in the picture."""
    bits = int(np.ceil(np.log2(max(shape))))
    y, x = (v.ravel().astype(np.int64) for v in np.mgrid[: shape[0], : shape[1]])
    place = np.zeros_like(x)
    for level in range(bits - 1, -1, -1):
        right, low = (x >> level) & 1, (y >> level) & 1
        place = (place << 2) | ((3 * right) ^ low)
        flip = low == 0
        mirror = flip & (right == 1)
        mask = (1 << level) - 1
        x_low, y_low = x & mask, y & mask
        x_low, y_low = np.where(mirror, mask - x_low, x_low), np.where(mirror, mask - y_low, y_low)
        x, y = np.where(flip, y_low, x_low), np.where(flip, x_low, y_low)
    return np.argsort(place, kind="stable")


def draw_order(layout: Layout, depth: np.ndarray) -> np.ndarray:
    """Splats nearest first, int32 [N]: skin by depth, eyes and teeth behind it, what fills the openings, the scene."""
    skin, n, s = layout.skin, layout.surface, layout.surface + layout.sheets
    parts = np.argsort(depth[:skin]), np.arange(n, s), np.arange(skin, n), s + np.argsort(depth[s:])
    return np.concatenate(parts).astype(np.int32)


def backs(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Which triangles show their back, bool [F]."""
    a, b, c = (vertices[triangles[:, k], :2] for k in range(3))
    u, v = b - a, c - a
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] > 0
