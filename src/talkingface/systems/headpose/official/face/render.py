"""Drawing the face model into the crop, and laying it over a background.

The pictures are those of the published renderer (a triangle rasteriser without light or smoothing, colours per vertex)
and of its blending. What that renderer does and another would not:

- the later of two triangles at equal depth is seen (the shared rasteriser shows the earlier, so it gets them reversed);
- triangles are seen from both sides;
- nothing beyond distance 10 is drawn: ears and the sides of the jaw are cut off, and networks never saw them;
- a pixel whose three channels are all negative counts as not drawn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from talkingface.face import raster
from talkingface.face.camera import Camera, to_screen
from talkingface.systems.headpose.official.face.convention import CAMERA, CAMERA_Z


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

    `points` [V, 3] before the camera (`convention.before_camera`), `colours` [V, 3] RGB 0 to 255, `triangles` [F, 3].
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
    """A drawing as uint8, clipped and rounded; the original wrote its training frames truncated."""
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
    """Where a face with its holes lies: bool [H, W] of an alpha channel. The mouth opening of the mesh is a hole."""
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes(alpha > 0)


def blend(background: np.ndarray, rgba: np.ndarray) -> np.ndarray:
    """Lay a drawing uint8 [H, W, 4] over a background uint8 [H, W, 3]; holes show the drawing's black."""
    inside = filled(rgba[..., 3])[..., None]
    share = np.where(inside, np.float32(1), rgba[..., 3:] / np.float32(255))
    mixed = background * (1 - share) + rgba[..., :3] * share
    return np.floor(mixed + 0.5).astype(np.uint8)
