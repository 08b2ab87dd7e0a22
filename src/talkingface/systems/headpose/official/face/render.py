"""Renders of the face model over a background: what the published generators are conditioned on.

`draw` and `blend` give the pictures of the published renderer (a triangle rasteriser without light or smoothing,
colours per vertex). Its particulars, of which the shared rasteriser knows none:

- the later of two triangles at equal depth is seen (the shared rasteriser shows the earlier, so it gets them reversed);
- triangles are seen from both sides;
- nothing beyond distance 10 is drawn: ears and the sides of the jaw are cut off, and networks never saw them;
- a pixel whose three channels are all negative counts as not drawn.

The original cut training pictures out with each frame's own transform and drew at inference in that of frame 0, moved
by whole pixels: other pictures than it had learned from. Here one fixed `View`, the clip's median crop, serves both,
and the face is drawn where its camera sees it, with the albedo and the light that `face/fit3d.py` found in the clip.
Over 100 held-out frames of `person31` such composites have 30.6 dB in the view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from talkingface.face import raster
from talkingface.face.camera import Camera, to_screen
from talkingface.face.deep3d import CAMERA, CAMERA_Z, CROP_PX
from talkingface.face.fit3d import VideoFit, head_shape, lit_colours, place
from talkingface.face.pose import Pose
from talkingface.systems.headpose.compositing.composite import sample_view
from talkingface.systems.headpose.official.face.crop import fit_crops, five_points
from talkingface.systems.headpose.official.face.render_model import FaceRenderModel

# The view is at least this factor larger than the face needs in all frames; the published crop usually is already.
MARGIN = 1.08


def draw(
    points: np.ndarray,
    colours: np.ndarray,
    triangles: np.ndarray,
    *,
    camera: Camera = CAMERA,
    far: float | None = CAMERA_Z,
    shift: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Draw a mesh: float32 [H, W, 4], colours over 255 (not clipped) and alpha 0 or 1.

    `points` [V, 3] before the camera (`face.deep3d.before_camera`), `colours` [V, 3] RGB 0 to 255, `triangles` [F, 3].
    Surfaces farther than `far` are cut off (None: nothing is). `shift` moves the drawing by (x, y) pixels exactly; the
    original moved the finished picture instead (`shifted`).
    """
    centre = camera.centre_px[0] + shift[0], camera.centre_px[1] + shift[1]
    screen = to_screen(replace(camera, centre_px=centre), np.asarray(points, np.float32))
    backwards = np.ascontiguousarray(triangles[::-1])
    seen = raster.rasterize(screen, backwards, camera.size, perspective=True)
    rgb = raster.interpolate(seen, backwards, np.asarray(colours, np.float32) / 255)
    covered = seen.face_id >= 0
    if far is not None:
        covered &= seen.depth <= far
    covered &= rgb.max(-1) >= 0
    return np.concatenate([rgb, np.ones_like(rgb[..., :1])], -1) * covered[..., None]


def to_uint8(rgba: np.ndarray, *, truncate: bool = False) -> np.ndarray:
    """A drawing as uint8, clipped and rounded. The original truncated its training frames (`truncate`)."""
    levels = np.clip(rgba, 0, 1) * np.float32(255)
    return (levels if truncate else np.rint(levels)).astype(np.uint8)


def shifted(rgba: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """A finished picture uint8 [H, W, 4] moved by (x, y) pixels to the nearest pixel, as the original did.

    `draw` with `shift` is exact instead.
    """
    from PIL import Image

    matrix = (1, 0, -shift[0], 0, 1, -shift[1])
    picture = Image.fromarray(np.ascontiguousarray(rgba), "RGBA")
    moved = picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)
    return np.asarray(moved)


def filled(alpha: np.ndarray) -> np.ndarray:
    """The face with its holes, bool [H, W], of an alpha channel. The mouth opening of the mesh is a hole."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(alpha > 0))


def blend(background: np.ndarray, rgba: np.ndarray) -> np.ndarray:
    """Blend a drawing uint8 [H, W, 4] over a background uint8 [H, W, 3]; holes show the drawing's black."""
    inside = filled(rgba[..., 3])[..., None]
    share = np.where(inside, np.float32(1), rgba[..., 3:] / np.float32(255))
    mixed = background * (1 - share) + rgba[..., :3] * share
    return np.floor(mixed + 0.5).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A fixed square of the frame: upper left corner `x`, `y` in frame pixels, view pixels per frame pixel `scale`, and
    its side in view pixels."""

    x: float
    y: float
    scale: float
    side_px: int

    @property
    def matrix(self) -> np.ndarray:
        """Float64 [2, 3] from frame pixels to view pixels, pixel corner at 0."""
        return np.array([[self.scale, 0, -self.scale * self.x], [0, self.scale, -self.scale * self.y]])

    def camera(self, camera: Camera) -> Camera:
        """A frame's camera, for pictures of the view."""
        centre = (camera.centre_px[0] - self.x) * self.scale, (camera.centre_px[1] - self.y) * self.scale
        return Camera(camera.focal_px * self.scale, centre, (self.side_px, self.side_px))

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """The view of a frame uint8 [H, W, 3]: [S, S, 3]."""
        return sample_view(rgb, self.matrix, self.side_px)

    def row(self) -> np.ndarray:
        """Float64 [4]: x, y, scale, side."""
        return np.array([self.x, self.y, self.scale, self.side_px])

    @classmethod
    def from_row(cls, row: np.ndarray) -> View:
        """The inverse of `row`."""
        return cls(x=float(row[0]), y=float(row[1]), scale=float(row[2]), side_px=int(row[3]))


def choose_view(landmarks: np.ndarray, size: tuple[int, int], side_px: int) -> View:
    """The median of the published crops of all frames (landmarks [T, 478, 3]), wider if a face would leave it."""
    crops = fit_crops(five_points(landmarks), size)
    span = CROP_PX / float(np.median([crop.scale for crop in crops]))
    centre = np.median([crop.origin for crop in crops], axis=0) + span / 2
    low = np.percentile(landmarks[..., :2].min(axis=1), 1, axis=0)
    high = np.percentile(landmarks[..., :2].max(axis=1), 99, axis=0)
    needed = 2 * MARGIN * float(np.abs(np.stack([low, high]) - centre).max())
    span = max(span, needed)
    x, y = centre - span / 2
    return View(x=float(x), y=float(y), scale=side_px / span, side_px=side_px)


class FaceRenderer:
    """Draws the face of a fit over pictures of a view."""

    def __init__(self, fit: VideoFit, face: FaceRenderModel, view: View) -> None:
        self._fit, self._face = fit, face
        self._camera = view.camera(fit.head.camera)

    def render_over(
        self, background: np.ndarray, frame: int, *, change: np.ndarray | None = None,
        move: tuple[Pose, Pose] | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The composite uint8 [S, S, 3]: the face of a frame over `background`, the mouth's opening black.

        `change` [E] of `mesh478`'s expression is added to the frame's; `move`: head poses in frame pixels before and
        after. Identity, albedo, eyes and light are the frame's.
        """
        fit, head, face = self._fit, self._fit.head, self._face
        expression = head.expression[frame]
        if change is not None:
            expression = expression + face.convert_change(change)
        rotation, translation = head.rotation[frame], head.translation[frame]
        if move is not None:
            rotation, translation = move_head(rotation, translation, head.camera, *move, pivot=face.pivot)
        shape = head_shape(face.model, head.neutral, expression, float(fit.closure[frame]))
        points = place(face.surface, shape, rotation, translation)
        colours = lit_colours(face.surface, points, fit.albedo, fit.light[frame])
        # `far` is a distance before the published camera; here nothing is cut off
        rgba = draw(points, colours, face.surface.visible, camera=self._camera, far=None)
        return blend(background, to_uint8(rgba))


def move_head(
    rotation: np.ndarray, translation: np.ndarray, camera: Camera, own: Pose, target: Pose,
    pivot: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rotation and translation before `camera` of a head whose weak-perspective pose goes from `own` to `target`.

    `pivot` [3]: the model's point that the poses place; None: its origin.
    """
    pivot = np.zeros(3) if pivot is None else pivot
    turned = target.rotation @ own.rotation.T @ rotation
    before = rotation @ pivot + translation
    depth = before[2] * own.scale / target.scale
    pixels = camera.focal_px * before[:2] / before[2] + (target.translation - own.translation)[:2]
    return turned, np.array([*(pixels * depth / camera.focal_px), depth]) - turned @ pivot
