"""A photo as a stage: the person's pixels on a 3D mesh that reaches past the face, and the background behind.

The mesh is the 478-point face, doubled lid points (so that lids slide over resting eyeballs), and an
extension over hair, ears, neck and shoulders whose points follow the head with a weight that falls off
below the chin, and follow the jaw near the face's outline.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay

from talkingface.core.types import NUM_POINTS
from talkingface.face.hidden_background import background_seen, fill_background
from talkingface.face.matte import near_colours, person_matte
from talkingface.face.pose import STABLE_POINTS, fit_similarity
from talkingface.face.topology import FACE_OVAL, mouth_triangles, skin_triangles
from talkingface.photo.eyes import LIDS, Eyes, eyeball_triangles, find_eyes, inner_shares

_LID_NUMBERS, _OVAL_NUMBERS = np.array(LIDS), np.array(FACE_OVAL)
# All distances below are in units of the distance between the outer eye corners.
GRID_STEP = 0.28
RINGS = (0.1, 0.24)
HEAD_DEPTH = 0.95  # how far behind the face's front the silhouette of the head lies
DEPTH_GROWTH = 0.35
NECK_LENGTH = 0.85
HEAD_HALF_WIDTH, SIDE_FALLOFF = 1.7, 1.2
JAW_REACH = 0.12
EYE_DEPTH = 0.1  # how far behind the lids' edges the eyeballs are drawn: shut lids hide them wherever they overlap
MARGIN = 0.5  # how far the mesh reaches beyond the picture: so far a cut-off head may leave a border without a gap
HAIR = 0.9  # usual distance from the face's outline to that of the head
TOUCHING = 0.02  # share of a border's pixels that show the person, from which the person is cut off there


@dataclass(frozen=True, slots=True, kw_only=True)
class Rigid:
    """A similarity in pixels: target = scale * rotation @ source + translation."""

    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    body: BodyMovement | None = None
    """What of the movement the rest of the person does too; None: only the head moves."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self, points: np.ndarray) -> np.ndarray:
        """Target to source."""
        return (points - self.translation) @ self.rotation / self.scale


def rigid_between(source: np.ndarray, target: np.ndarray) -> Rigid:
    """The head movement between two sets of landmarks [478, 3]."""
    rotation, scale, translation = fit_similarity(source[STABLE_POINTS], target[STABLE_POINTS])
    return Rigid(rotation=rotation, scale=float(scale), translation=translation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How far a person may move in a picture of `size` (width, height): pixels for its left, right, top, bottom border.

    What lies behind the person is filled in, but not what a border cuts off. Where the person is cut off, moving away
    from the border stretches what lies within `reach` [4] of it, by no more than the same again: `away` [4], infinite
    where the person does not touch the border. The middle of the head, `centre` [2], stays in the picture.
    """

    size: tuple[int, int]
    centre: np.ndarray
    reach: np.ndarray
    away: np.ndarray

    def limited(self, shift: np.ndarray) -> np.ndarray:
        """A shift [2] in pixels, softly kept within the room; hardly changed up to half of it."""
        ahead = np.where(shift > 0, self.size - self.centre, self.centre)
        most = np.minimum(np.where(shift > 0, self.away[[0, 2]], self.away[[1, 3]]), np.maximum(ahead, 1))
        return most * np.tanh(shift / most)

    def held(self, points: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Moves [M, 2] of points [M, 2], held at the borders that the person is cut off by and would leave."""
        far = np.stack([points[:, 0], self.size[0] - points[:, 0], points[:, 1], self.size[1] - points[:, 1]])
        share = _smoothstep(far / self.reach[:, None])
        share[np.isinf(self.away)] = 1
        left, right, top, bottom = share
        x = moves[:, 0] * np.where(moves[:, 0] > 0, left, right)
        return np.stack([x, moves[:, 1] * np.where(moves[:, 1] > 0, top, bottom)], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMovement:
    """What the body does of a head movement: it grows by `scale` about `centre` [2] and goes `shift` [2] pixels."""

    scale: float
    centre: np.ndarray
    shift: np.ndarray
    room: Room

    def moves(self, points: np.ndarray) -> np.ndarray:
        """How far points [M, 2] move."""
        return self.room.held(points, (self.scale - 1) * (points - self.centre) + self.shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a photo gives to render from.

    `person` uint8 [H, W, 4] (own colours times opacity, and opacity), `background` uint8 [H, W, 3];
    `points` float32 [478, 3]; `outer` float32 [M, 3] extension points, `head_share` [M] and `jaw_share` [M, 36] how
    they follow the head and the face outline; `triangles` int32 [F, 3] over points, lids with what lies between them,
    outer; `eyes` where the irises are.
    """

    person: np.ndarray
    background: np.ndarray
    points: np.ndarray
    outer: np.ndarray
    head_share: np.ndarray
    jaw_share: np.ndarray
    triangles: np.ndarray
    eyes: Eyes

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.background.shape[1], self.background.shape[0]

    @property
    def triangles_points(self) -> np.ndarray:
        """Resting places [V, 2] of the vertices that `triangles` number."""
        lids = self.points[_LID_NUMBERS, :2]
        return np.concatenate([self.points[:, :2], lids, inner_shares() @ lids, self.outer[:, :2]])

    def room(self) -> Room:
        """How far the person may move."""
        height, width = self.person.shape[:2]
        unit, oval = face_unit(self.points), self.points[_OVAL_NUMBERS, :2]
        low, high = oval.min(0) - HAIR * unit, oval.max(0) + HAIR * unit
        reach = np.array([low[0], width - high[0], low[1], height - high[1]])
        alpha = self.person[..., 3]
        borders = alpha[:, 0], alpha[:, -1], alpha[0], alpha[-1]
        touched = np.array([(border > 127).mean() for border in borders]) > TOUCHING
        reach = np.maximum(reach, MARGIN * unit)
        away = np.where(touched, reach, np.inf)
        return Room(size=(width, height), centre=oval.mean(axis=0), reach=reach, away=away)

    def pose(self, target: np.ndarray, rigid: Rigid, gaze: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [V, 3] and the photo coordinates [V, 2] they show, for target landmarks and head movement.

        `gaze` [2]: how far the irises move in the head (`Eyes.shift`); None: they rest.
        """
        lids, oval = target[_LID_NUMBERS], target[_OVAL_NUMBERS]
        lids = np.concatenate([lids, inner_shares() @ lids])
        moved = rigid(self.outer)
        jaw = self.jaw_share @ (oval - rigid(self.points[_OVAL_NUMBERS])).astype(np.float32)
        first, count = len(target), len(target) + len(lids)
        vertices = np.empty((count + len(moved), 3), np.float32)
        vertices[:first], vertices[first:count] = target, lids + (0, 0, EYE_DEPTH * face_unit(self.points))
        vertices[count:] = self.outer + self.head_share[:, None] * (moved - self.outer) + jaw
        if rigid.body is not None:
            vertices[count:, :2] += (1 - self.head_share[:, None]) * rigid.body.moves(self.outer[:, :2])
        shown = np.empty((len(vertices), 2), np.float32)
        shown[:first], shown[count:] = self.points[:, :2], self.outer[:, :2]
        upright = rigid.inverse(target)  # the target's expression, in the photo's own pose
        self.eyes.uncover(shown, upright)
        shown[first:count] = self.eyes.within(upright[_LID_NUMBERS, :2])
        if gaze is not None:
            shown[first:count] = self.eyes.shown(shown[first:count], gaze)
        return vertices, shown


def make_scene(rgb: np.ndarray, points: np.ndarray, alpha: np.ndarray | None = None) -> Scene:
    """Build the stage from an upright uint8 picture and its landmarks [478, 3]; `alpha` overrides the found matte."""
    if alpha is None:
        alpha = person_matte(rgb)
    alpha = with_face(alpha, points)
    background = background_seen(rgb, alpha, near_colours(rgb, alpha), fill_background(rgb, alpha))
    person = person_over(rgb, alpha, background)
    outer = _outer_points(points, rgb.shape[1], rgb.shape[0])
    head_share, jaw_share, depth = _follow(points, outer)
    outer3 = np.column_stack([outer, depth])
    return Scene(
        person=np.ascontiguousarray(person),
        background=background,
        points=points.astype(np.float32),
        outer=outer3.astype(np.float32),
        head_share=head_share.astype(np.float32),
        jaw_share=jaw_share.astype(np.float32),
        triangles=_triangles(points, outer),
        eyes=find_eyes(points, rgb),
    )


def person_over(rgb: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The person as uint8 [H, W, 4], premultiplied, so that laid over `background` it gives `rgb` again.

    Where no colour could do that at the found opacity, the opacity is raised until one can.
    """
    colour, behind = rgb.astype(np.float32), background.astype(np.float32)
    darker = (behind - colour) / np.maximum(behind, 1)
    lighter = (colour - behind) / np.maximum(255 - behind, 1)
    alpha = np.clip(np.maximum(alpha, np.maximum(darker, lighter).max(-1)), 0, 1)
    rest = 255 - np.ceil(alpha * 255)[..., None]  # rounded up, or colour without opacity would be left over
    own = np.clip(colour - behind * rest / 255, 0, 255 - rest)
    return np.dstack([own, 255 - rest]).round().astype(np.uint8)


def with_face(alpha: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The matte with the face itself made opaque: drawings and statues are often missed by the segmenter."""
    face = np.zeros(alpha.shape, np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(np.round(points[:NUM_POINTS, :2]).astype(np.int32)), (255,))
    side = float(np.ptp(points[:, 0]))
    if alpha[face > 0].mean() < 0.6:  # no person was recognised: take head, neck and shoulders by their usual shape
        alpha = np.maximum(alpha, _usual_shape(points, (alpha.shape[0], alpha.shape[1])))
    soft = cv2.GaussianBlur(face.astype(np.float32) / 255, (0, 0), max(1.0, 0.015 * side))
    return np.maximum(alpha, np.where(face > 0, 1.0, soft)).astype(np.float32)


def _usual_shape(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    unit = face_unit(points)
    x, y = points[:, :2].min(0) / 2 + points[:, :2].max(0) / 2
    mask = np.zeros(shape, np.float32)
    cv2.ellipse(mask, (int(x), int(y - 0.25 * unit)), (int(1.25 * unit), int(1.6 * unit)), 0, 0, 360, (1.0,), -1)
    cv2.ellipse(mask, (int(x), int(y + 3.4 * unit)), (int(2.6 * unit), int(2.2 * unit)), 0, 0, 360, (1.0,), -1)
    return cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.12 * unit))


def face_unit(points: np.ndarray) -> float:
    """Distance between the outer eye corners in pixels."""
    return float(np.linalg.norm(points[33] - points[263]))


def _axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the face's right and down in the picture plane."""
    down = points[152, :2] - points[10, :2]
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    return np.array([down[1], -down[0]]), down


def _outer_points(points: np.ndarray, width: int, height: int) -> np.ndarray:
    unit = face_unit(points)
    oval = points[list(FACE_OVAL), :2]
    centre = oval.mean(0)
    outward = oval - centre
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    rings = [oval + outward * ring * unit for ring in RINGS]
    margin = MARGIN * unit
    columns = np.linspace(
        -margin, width + margin, max(6, round((width + 2 * margin) / max(GRID_STEP * unit, width / 40)))
    )
    rows = np.linspace(
        -margin, height + margin, max(6, round((height + 2 * margin) / max(GRID_STEP * unit, height / 40)))
    )
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    hull = cv2.convexHull(np.concatenate(rings).astype(np.float32))
    keep = [cv2.pointPolygonTest(hull, (float(x), float(y)), True) < -0.5 * GRID_STEP * unit for x, y in grid]
    border = (grid[:, 0] < 0) | (grid[:, 1] < 0) | (grid[:, 0] > width) | (grid[:, 1] > height)
    outside = np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), False) < 0 for x, y in grid])
    return np.concatenate([*rings, grid[np.array(keep) | (border & outside)]]).astype(np.float32)


def _follow(points: np.ndarray, outer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Head share [M], outline shares [M, 36] and depth [M] of the extension points."""
    unit = face_unit(points)
    right, down = _axes(points)
    oval = points[list(FACE_OVAL)]
    apart = np.linalg.norm(outer[:, None] - oval[None, :, :2], axis=-1) / unit
    near = apart.min(1)
    weights = np.exp(-(((apart / np.maximum(near, 0.05)[:, None] - 1) / 0.5) ** 2))
    weights /= weights.sum(1, keepdims=True)
    base = weights @ oval[:, 2]
    back = float(oval[:, 2].min()) + HEAD_DEPTH * unit
    depth = base + np.maximum(back - base, 0) * (1 - np.exp(-near / DEPTH_GROWTH))
    from_chin = (outer - points[152, :2]) @ down / unit
    aside = np.abs((outer - oval[:, :2].mean(0)) @ right) / unit
    neck = 1 - _smoothstep((from_chin + 0.15) / NECK_LENGTH)
    head = neck * (1 - _smoothstep((aside - HEAD_HALF_WIDTH) / SIDE_FALLOFF))
    jaw = weights * np.exp(-near / JAW_REACH)[:, None]
    return head, jaw, depth


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


@functools.cache
def _face_part() -> np.ndarray:
    return np.concatenate([skin_triangles(), NUM_POINTS + eyeball_triangles(), mouth_triangles()]).astype(np.int32)


def _triangles(points: np.ndarray, outer: np.ndarray) -> np.ndarray:
    oval = points[list(FACE_OVAL), :2]
    both = np.concatenate([oval, outer]).astype(np.float64)
    faces = Delaunay(both).simplices
    polygon = oval.astype(np.float32).reshape(-1, 1, 2)
    middle = both[faces].mean(1)
    outside = [cv2.pointPolygonTest(polygon, (float(x), float(y)), False) < 0 for x, y in middle]
    first = NUM_POINTS + len(LIDS) + len(inner_shares())
    number = np.concatenate([np.array(FACE_OVAL), first + np.arange(len(outer))])
    return np.concatenate([_face_part(), number[faces[np.array(outside)]].astype(np.int32)])
