"""Composites: a frame of the person's own clip, warped to another mouth and head pose, and corrected by a network.

The original draws a morphable model over a background frame (section 3.4 of the 2020 paper). Here the mesh of 478
points takes its texture from that frame itself: skin, eyes, hair and light are the clip's own pixels. On held-out
frames such a composite has 24 dB around the face before any network corrects it; the still frame has 15.5. The network
supplies what the frame does not show: the inside of the mouth, black as in the original's renders, and what lips and
jaw uncover.
"""

from __future__ import annotations

import functools
import itertools

import cv2
import numpy as np

from talkingface.core.types import NUM_POINTS, Controls, Frames
from talkingface.face.matte import person_matte
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.pose import Pose
from talkingface.face.raster import Warper
from talkingface.face.topology import FACE_OVAL, INNER_LIP_LOWER, INNER_LIP_UPPER, eye_triangles, skin_triangles
from talkingface.video.background import make_background

# Distances are in units of the face model: one is the distance between the outer eye corners.
# Distances outside the face outline of the rings of points that carry ears, hair and neck along.
RINGS = (0.12, 0.3, 0.6, 1.0, 1.6)
JAW_REACH = 0.14  # distance from the outline over which the jaw's own movement falls to 1/e
NECK_LENGTH = 0.85  # distance below the chin over which the head's movement fades out: the collar stays
_BORDER = 0.06  # share of the view over which corrections fade out
_INNER_LIPS = [*INNER_LIP_UPPER, *INNER_LIP_LOWER[-2:0:-1]]
_OVAL = list(FACE_OVAL)
_SHIFT = 4  # fixed-point bits of polygon corners


def deform(
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
    for near, far in itertools.pairwise(lines):
        for k in range(n):
            j = (k + 1) % n
            strips += [(near[k], near[j], far[k]), (near[j], far[j], far[k])]
    return np.concatenate([skin_triangles(), eye_triangles(), np.array(strips, np.int32)])


def _smoothstep(x: np.ndarray | float) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def surrounding_points(
    points: np.ndarray, pose: Pose, reached: np.ndarray, target: Pose
) -> tuple[np.ndarray, np.ndarray]:
    """Points [5 * 36, 3] around the face outline, before and after the head moves from `pose` to `target`.

    `points` and `reached` [478, 3] are the landmarks before and after. The further out and the further down the neck a
    point lies, the less it follows the head; near the outline it follows the jaw.
    """
    upright = pose.undo(points)
    oval = upright[_OVAL]
    outward = oval[:, :2] - oval[:, :2].mean(0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    jaw = reached[_OVAL] - target.apply(oval)
    back = float(oval[:, 2].max())
    here, there = [], []
    for distance in RINGS:
        ring = np.column_stack([oval[:, :2] + distance * outward, oval[:, 2] + (back - oval[:, 2]) * 0.8 + 0.2])
        neck = 1 - _smoothstep((ring[:, 1] - upright[152, 1] + 0.15) / NECK_LENGTH)
        share = neck * (1 - _smoothstep((distance - 0.5) / (RINGS[-1] - 0.5)))
        rest = pose.apply(ring)
        here.append(rest)
        # near the outline nearly all of the jaw's own movement, none at the temples
        follow = np.exp(-distance / JAW_REACH) * _smoothstep((ring[:, 1] - 0.3) / 0.6)
        there.append(rest + share[:, None] * (target.apply(ring) - rest) + follow[:, None] * jaw)
    return np.concatenate(here), np.concatenate(there)


class Compositor:
    """Draws composites into pictures of one size, (width, height); one object a thread."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._warper = Warper(size)
        self.size = size

    def draw(
        self, texture: np.ndarray, points: np.ndarray, pose: Pose, target: Pose, reached: np.ndarray,
        out: np.ndarray, matrix: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Draw the frame `texture` uint8 [h, w, 4] (landmarks `points`, head `pose`) with its head and mouth moved.

        `reached` [478, 3] are the landmarks after the move, `target` their head pose, in the texture's pixels. `out`
        uint8 [H, W, 3] holds the background and gets the result. `matrix` float [2, 3], if given, takes texture pixels
        to `out` pixels (pixel corner at 0).
        """
        outer, moved = surrounding_points(points, pose, reached, target)
        vertices = np.concatenate([reached, moved]).astype(np.float32)
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


def sample_view(picture: np.ndarray, matrix: np.ndarray, side_px: int) -> np.ndarray:
    """The part of `picture` uint8 [H, W, 3] that `matrix` shows: uint8 [side_px, side_px, 3], filtered when smaller."""
    factor = float(np.hypot(*matrix[0, :2]))
    centred = matrix.copy()  # OpenCV's pixel centres lie at whole numbers
    centred[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5
    if factor < 0.75:  # warpAffine does not average
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / factor)
    return cv2.warpAffine(picture, centred, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def face_weight(points: np.ndarray, matrix: np.ndarray, pose: Pose, size: int) -> np.ndarray:
    """The face of landmarks `points` in the view, widened and softened at its edge: uint8 [size, size].

    Nothing is corrected outside it: left free, the network repaints the whole face, which gains 0.5 dB and loses the
    texture of the skin.
    """
    seen = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    unit = float(np.hypot(*matrix[0, :2])) * pose.scale
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(seen).astype(np.int32)), (255,))
    reach = max(1, round(0.06 * unit))
    mask = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.04 * unit))


def blend_view(picture: np.ndarray, colour: np.ndarray, share: np.ndarray, matrix: np.ndarray) -> None:
    """Blend `colour` uint8 [S, S, 3] into `picture` uint8 [H, W, 3], in place, with the opacity `share` float32 [S, S].

    `matrix` [2, 3] takes picture pixels to those of the view, pixel corner at 0.
    """
    side, factor = share.shape[0], float(np.hypot(*matrix[0, :2]))
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ back[:, :2].T + back[:, 2]
    x0, y0 = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(0)), (picture.shape[1], picture.shape[0])).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    to_view = matrix.copy()
    to_view[:, 2] += matrix[:, :2] @ (x0 + 0.5, y0 + 0.5) - 0.5  # OpenCV's pixel centres lie at whole numbers
    smaller = factor > 1.34
    if smaller:  # warpAffine does not average
        colour = cv2.GaussianBlur(colour, (0, 0), 0.4 * factor)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if smaller or factor > 0.9 else cv2.INTER_CUBIC)
    size = (int(x1 - x0), int(y1 - y0))
    seen = cv2.warpAffine(colour, to_view, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(share, to_view, size, flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)
    part = picture[y0:y1, x0:x1]
    weights = np.clip(alpha, 0, 1)
    part[:] = cv2.blendLinear(seen, np.ascontiguousarray(part), weights, 1 - weights)


def border_fade(side: int) -> np.ndarray:
    """float32 [side, side]: 1 inside, falling to 0 at the borders of the view."""
    reach = max(1.0, _BORDER * side)
    ramp = np.clip((np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5) / reach, 0, 1)
    return np.outer(ramp, ramp).astype(np.float32)


class Background:
    """What stands behind the person in pictures of `size` (width, height): `Controls.background`."""

    def __init__(self, controls: Controls, size: tuple[int, int]) -> None:
        self._wanted = controls.background
        other = self._wanted not in ("keep", "transparent")
        self._picture = make_background(self._wanted, size) if other else None

    def frames(self, start: int, pictures: list[np.ndarray]) -> Frames:
        """Pictures uint8 [H, W, 3] before that background, or with the mask that "transparent" asks for."""
        if self._wanted == "keep":
            return Frames(rgb=np.stack(pictures), start=start)
        mattes = [person_matte(picture) for picture in pictures]
        if self._picture is None:
            masks = np.stack([np.round(255 * matte).astype(np.uint8) for matte in mattes])
            return Frames(rgb=np.stack(pictures), mask=masks, start=start)
        mixed = [
            np.round(picture * matte[..., None] + self._picture * (1 - matte[..., None])).astype(np.uint8)
            for picture, matte in zip(pictures, mattes, strict=True)
        ]
        return Frames(rgb=np.stack(mixed), start=start)
