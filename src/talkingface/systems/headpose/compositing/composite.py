"""The picture that the renderer corrects: a frame of the person's own clip, bent to another mouth and head pose.

The original draws a morphable model over a background frame. Here the mesh of 478 points takes its texture from that
frame itself, so skin, eyes, hair and light are real from the start, and only what the frame cannot know is left to
the network: the inside of the mouth, which is left dark as in the original's renders, and what lips and jaw uncover.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.core.types import NUM_POINTS
from talkingface.face.morphable import FaceFit, LinearFaceModel
from talkingface.face.pose import apply_similarity, undo_similarity
from talkingface.face.raster import Warper
from talkingface.face.topology import FACE_OVAL, INNER_LIP_LOWER, INNER_LIP_UPPER, eye_triangles, skin_triangles

# Distances are in units of the face model: one is the distance between the outer eye corners.
RINGS = (0.12, 0.3, 0.6, 1.0, 1.6)
"""How far outside the face outline the points lie that carry ears, hair and neck along."""
JAW_REACH = 0.14
NECK_LENGTH = 0.85
VIEW_CENTRE = (0.0, 0.93, -0.1)
"""Point of the face model in the middle of the network's view: the mouth."""
VIEW_SIDE = 1.9
"""What the view spans: from the eyes to below the chin, cheek to cheek."""
_INNER_LIPS = [*INNER_LIP_UPPER, *INNER_LIP_LOWER[-2:0:-1]]
_OVAL = list(FACE_OVAL)
_SHIFT = 4  # fixed-point bits of polygon corners


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Where a head is, weak perspective: pixel = scale * rotation @ model point + translation.

    `rotation` [3, 3], `scale` pixels per model unit, `translation` [3] pixels.
    """

    rotation: np.ndarray
    scale: float
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Model units [N, 3] to pixels."""
        return apply_similarity(points, self.rotation, np.asarray(self.scale), self.translation)

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Pixels [N, 3] to model units."""
        return undo_similarity(points, self.rotation, np.asarray(self.scale), self.translation)

    def moved(self, factor: float, offset: np.ndarray) -> Pose:
        """The same head in a picture whose pixels are `factor` times as many and whose corner lies at `offset` [2]."""
        shift = np.array([offset[0], offset[1], 0.0])
        return Pose(rotation=self.rotation, scale=self.scale * factor, translation=(self.translation - shift) * factor)


def pose_of(fit: FaceFit, frame: int) -> Pose:
    """The pose of one frame of a fitted track."""
    return Pose(rotation=fit.rotation[frame], scale=float(fit.scale[frame]), translation=fit.translation[frame])


def bent(
    model: LinearFaceModel, points: np.ndarray, pose: Pose, change: np.ndarray, target: Pose | None = None
) -> np.ndarray:
    """Landmarks [478, 3] after adding the expression `change` [E] and moving the head from `pose` to `target`.

    What the model does not explain of the landmarks stays as it is. `target` None: the head stays.
    """
    moved = model.displacement(change)
    if target is None:
        return points + pose.scale * moved @ pose.rotation.T
    return target.apply(pose.undo(points) + moved)


@functools.cache
def _triangles() -> np.ndarray:
    """Skin, eyes and the strips between the face outline and the rings; the mouth is a hole."""
    n = len(_OVAL)
    lines = [_OVAL, *[[NUM_POINTS + ring * n + k for k in range(n)] for ring in range(len(RINGS))]]
    strips = []
    for near, far in zip(lines, lines[1:], strict=False):
        for k in range(n):
            j = (k + 1) % n
            strips += [(near[k], near[j], far[k]), (near[j], far[j], far[k])]
    return np.concatenate([skin_triangles(), eye_triangles(), np.array(strips, np.int32)])


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def surroundings(
    points: np.ndarray, pose: Pose, bent_points: np.ndarray, target: Pose
) -> tuple[np.ndarray, np.ndarray]:
    """Points [5 * 36, 3] around the face outline: where they are, and where they go.

    They follow the head, less the further out and the further down the neck; near the outline they follow the jaw.
    """
    upright = pose.undo(points)
    oval = upright[_OVAL]
    outward = oval[:, :2] - oval[:, :2].mean(0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    jaw = bent_points[_OVAL] - target.apply(oval)
    back = float(oval[:, 2].max())
    here, there = [], []
    for distance in RINGS:
        ring = np.column_stack([oval[:, :2] + distance * outward, oval[:, 2] + (back - oval[:, 2]) * 0.8 + 0.2])
        neck = 1 - _smoothstep((ring[:, 1] - upright[152, 1] + 0.15) / NECK_LENGTH)
        share = neck * (1 - _smoothstep((distance - 0.5) / (RINGS[-1] - 0.5)))
        rest = pose.apply(ring)
        here.append(rest)
        # the jaw's own movement: nearly whole at the outline, none where the collar is
        follow = np.exp(-distance / JAW_REACH) * _smoothstep((ring[:, 1] - 0.3) / 0.6)
        there.append(rest + share[:, None] * (target.apply(ring) - rest) + follow[:, None] * jaw)
    return np.concatenate(here), np.concatenate(there)


class Composer:
    """Draws composites into pictures of one size, (width, height); one object a thread."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._warper = Warper(size)
        self.size = size

    def draw(
        self, texture: np.ndarray, points: np.ndarray, pose: Pose, target: Pose, bent_points: np.ndarray,
        out: np.ndarray, matrix: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Draw the frame `texture` uint8 [h, w, 4] (landmarks `points`, head `pose`) with its head and mouth moved.

        `bent_points` [478, 3] are the landmarks to reach, `target` their head pose, in the texture's pixels. `out`
        uint8 [H, W, 3] holds the background; with `matrix` float [2, 3] the result is shown through it (texture
        pixels to `out` pixels, pixel corner at 0).
        """
        outer, moved = surroundings(points, pose, bent_points, target)
        vertices = np.concatenate([bent_points, moved]).astype(np.float32)
        if matrix is not None:
            vertices[:, :2] = vertices[:, :2] @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
        shown = np.concatenate([points[:, :2], outer[:, :2]]).astype(np.float32)
        low = np.maximum(np.floor(vertices[:, :2].min(0)), 0).astype(int)
        high = np.minimum(np.ceil(vertices[:, :2].max(0)) + 1, self.size).astype(int)
        if (high <= low).any():
            return
        region = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        self._warper.warp(texture, shown, vertices, _triangles(), out, region=region)
        darken_mouth(out, vertices)


def darken_mouth(out: np.ndarray, points: np.ndarray) -> None:
    """Make the opening between the inner lips of `points` [478, 3] black, in place."""
    corners = np.round((points[_INNER_LIPS, :2] - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(out, [corners], (0, 0, 0), lineType=cv2.LINE_AA, shift=_SHIFT)


def view_matrix(pose: Pose, side_px: int) -> np.ndarray:
    """Float64 [2, 3] from picture pixels to the network's view of `side_px`: the lower face, upright, of one size."""
    across = pose.rotation[:2, 0]
    angle = np.arctan2(across[1], across[0])
    factor = side_px / (VIEW_SIDE * pose.scale)
    turn = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = pose.apply(np.array([VIEW_CENTRE]))[0, :2]
    return np.column_stack([turn, side_px / 2 - turn @ centre])


def look(picture: np.ndarray, matrix: np.ndarray, side_px: int) -> np.ndarray:
    """The part of `picture` uint8 [H, W, 3] that `matrix` shows: uint8 [side_px, side_px, 3], filtered when smaller."""
    factor = float(np.hypot(*matrix[0, :2]))
    centred = matrix.copy()  # OpenCV's pixel centres lie at whole numbers
    centred[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5
    if factor < 0.75:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / factor)
    return cv2.warpAffine(picture, centred, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def face_weight(points: np.ndarray, matrix: np.ndarray, pose: Pose, size: int) -> np.ndarray:
    """The face in the view, a little widened and soft: uint8 [size, size]."""
    seen = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    unit = float(np.hypot(*matrix[0, :2])) * pose.scale
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(seen).astype(np.int32)), 255)
    reach = max(1, round(0.06 * unit))
    mask = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.04 * unit))
