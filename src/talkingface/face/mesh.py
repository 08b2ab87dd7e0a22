"""The face mesh with attention (Grishchenko et al. 2020): 478 points of one face, and whether there is one.

A network takes a turned square around the face and gives 468 points and features; lips and eyes are then cut out of
the features, squares that follow the points, and three small networks place them, and the irises, again. Coordinates
have pixel edges at whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.core.types import NUM_POINTS
from talkingface.face.detect import FaceBox, square_crop
from talkingface.face.networks import FaceModels, face_models, see_square, sigmoid, to_input
from talkingface.video.resize_area import shrink_area

INPUT_PX = 192
MARGIN = 1.5
"""Side of the square over the face's own."""
MIN_PRESENCE = 0.5
MAX_SIDE_PX = 384
SETTLED, SLOWEST = 0.003, 0.3
"""A region is approached slowly where it moves by less of its side; and the least share of the way."""
_CROP_PX, _CROP_MARGIN = 16, 1.5
_GRID = np.stack(np.meshgrid(np.arange(_CROP_PX), np.arange(_CROP_PX)), axis=-1).reshape(-1, 2) + 0.5
_EYE_CORNERS = (33, 263)
# each part: its network, the corners that give its turn, its iris points and the lid points whose mean depth they get
_PARTS = (
    ("lips", (61, 291), None),
    ("left_eye", (33, 133), slice(468, 473)),
    ("right_eye", (362, 263), slice(473, 478)),
)
_NUM_LID_POINTS = 16  # the first of an eye's points lie on its lids


@dataclass(frozen=True, slots=True)
class Region:
    """A square in a picture, pixels: its centre, side, and turn in radians (clockwise as seen)."""

    x: float
    y: float
    side: float
    turn: float


@dataclass(frozen=True, slots=True)
class Mesh:
    """`points` float32 [478, 3] in pixels, z growing away from the viewer; `presence` in [0, 1] that it is a face."""

    points: np.ndarray
    presence: float


def find_mesh(rgb: np.ndarray, region: Region) -> Mesh:
    """The mesh of the face in `region` of a picture uint8 [H, W, 3]."""
    models = face_models()
    points, flag, features = models.networks["mesh"](to_input(_turned_square(rgb, region)))
    placed = np.empty((NUM_POINTS, 3), np.float32)
    placed[:468] = points.reshape(468, 3)
    _place_parts(placed, features[0], models)
    return Mesh(_to_picture(placed, region), float(sigmoid(flag).reshape(())))


def region_of_box(box: FaceBox) -> Region:
    """Where to look for the face that a detector found."""
    return Region(*box.centre, MARGIN * box.side_px, box.turn_rad)


def region_of(points: np.ndarray) -> Region:
    """Where to look for a face next to its points [478, 3] of the picture before."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    right, left = points[_EYE_CORNERS[0]], points[_EYE_CORNERS[1]]
    x, y = (low + high) / 2
    turn = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    return Region(float(x), float(y), MARGIN * float((high - low).max()), turn)


def next_region(region: Region, points: np.ndarray) -> Region:
    """Where to look next for the face whose points [478, 3] were found in `region`.

    The region of the points; where it hardly differs, it is approached slowly: else the points jitter with their own
    region, on faces that do not move by a sixth more. Following slower makes the points lag on heads that do move.
    """
    near = region_of(points)
    moved = (near.x - region.x, near.y - region.y, near.side - region.side, (near.turn - region.turn) * region.side / 2)
    share = min(1.0, max(SLOWEST, max(map(abs, moved)) / (SETTLED * region.side)))
    if share == 1:
        return near
    both = zip((region.x, region.y, region.side, region.turn), (near.x, near.y, near.side, near.turn), strict=True)
    return Region(*(before + share * (after - before) for before, after in both))


def _turned_square(rgb: np.ndarray, region: Region) -> np.ndarray:
    """The network's input, uint8 [192, 192, 3], with edge pixels repeated outside the picture."""
    centre, side = np.array([region.x, region.y]), region.side
    if side > MAX_SIDE_PX:  # bilinear sampling skips pixels of larger ones, and the points jitter
        reach = side * (abs(np.cos(region.turn)) + abs(np.sin(region.turn)))
        rgb, corner = square_crop(rgb, (region.x, region.y), reach)
        scale = MAX_SIDE_PX / side
        small = max(1, round(rgb.shape[0] * scale))
        scale = small / rgb.shape[0]
        rgb, centre, side = shrink_area(rgb, (small, small)), (centre - corner) * scale, side * scale
    corners = cv2.boxPoints(((float(centre[0]), float(centre[1])), (side, side), float(np.degrees(region.turn))))
    return see_square(rgb, corners, INPUT_PX, cv2.BORDER_REPLICATE)


def _to_picture(points: np.ndarray, region: Region) -> np.ndarray:
    """Points [478, 3] of the network's square as pixels of the picture."""
    cos, sin = np.cos(region.turn), np.sin(region.turn)
    x, y = points[:, 0] / INPUT_PX - 0.5, points[:, 1] / INPUT_PX - 0.5
    placed = np.stack([cos * x - sin * y, sin * x + cos * y, points[:, 2] / INPUT_PX], axis=1) * region.side
    return (placed + (region.x, region.y, 0)).astype(np.float32)


def _place_parts(points: np.ndarray, features: np.ndarray, models: FaceModels) -> None:
    """Replace lips, eyes and irises of `points` [478, 3], in place; `features` float32 [32, 48, 48]."""
    scale = features.shape[-1] / INPUT_PX
    rough = points[:468, :2] * scale
    for name, corners, iris in _PARTS:
        numbers = models.arrays[f"{name}.points"]
        matrix = _crop_matrix(rough[numbers], rough[corners[0]], rough[corners[1]])
        outputs = models.networks[name](_crop(features, matrix))
        points[numbers, :2] = _through(matrix, outputs[0] * scale) / scale
        if iris is not None:
            points[iris, :2] = _through(matrix, outputs[1] * scale) / scale
            points[iris, 2] = points[numbers[:_NUM_LID_POINTS], 2].mean()


def _crop_matrix(points: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """From crop coordinates to those of the features, float32 [2, 3]: the points' box, turned with the two corners."""
    turn = float(np.arctan2(right[1] - left[1], right[0] - left[0]))
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.array([[cos, -sin], [sin, cos]], np.float32)
    along = points @ axes
    low, high = along.min(0), along.max(0)
    linear = axes * (_CROP_MARGIN * (high - low) / _CROP_PX)
    centre = axes @ ((low + high) / 2)
    return np.column_stack([linear, centre - linear @ np.full(2, _CROP_PX / 2)]).astype(np.float32)


def _crop(features: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Features [C, H, W] seen through `matrix`, bilinear, zeros outside: float32 [1, C, 16, 16]."""
    places = (_GRID @ matrix[:, :2].T + matrix[:, 2] - 0.5).astype(np.float32)
    out = np.empty((len(features), _CROP_PX**2), np.float32)
    _sample(features, places, out)
    return out.reshape(1, -1, _CROP_PX, _CROP_PX)


@kernel(types.void(types.Array(types.float32, 3, "C", readonly=True), types.float32[:, ::1], types.float32[:, ::1]))
def _sample(features, places, out):
    """Write features [C, H, W] at places [N, 2], their x and y, into `out` [C, N]; bilinear, zeros outside."""
    height, width = features.shape[1:]
    out[:] = 0
    for k in range(len(places)):
        x, y = np.float64(places[k, 0]), np.float64(places[k, 1])
        for corner in range(4):
            u, v = int(np.floor(x)) + corner % 2, int(np.floor(y)) + corner // 2
            if 0 <= u < width and 0 <= v < height:
                weight = (1 - abs(x - u)) * (1 - abs(y - v))
                for channel in range(features.shape[0]):
                    out[channel, k] += weight * features[channel, v, u]


def _through(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points of a crop, [1, 2K, 1, 1], in the coordinates of the features, [K, 2]."""
    return points.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]
