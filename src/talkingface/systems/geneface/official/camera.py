"""Cameras as published: of the face tracker, of the radiance field, and the rays that pixels look along.

Poses are camera to world. The tracker's and the vanilla renderer's camera looks along -z with y up; the radiance field
has other axes (`field_pose`) and looks along +z with y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import transform
from torch import Tensor

SCALE = 4.0
"""Of translations, for the face to fill the field's box."""
_TRACKER_UNITS = 10.0
CM_PER_UNIT = 100.0
"""Centimetres in a unit of cameras; a field's unit is a fourth of it (`SCALE`)."""
CENTRE_CM = (0.0, 2.0, 5.0)
"""Where the field's centre lies in a head of space mesh478: from between the eyes down, and into the head."""
DISTANCE = 0.7
"""From the camera to a head of middling size: what the published focal lengths come to."""
_IMAGE_AXES = np.array([1.0, -1.0, -1.0])  # of pictures, and of models: y down, z away


@dataclass(frozen=True, slots=True, kw_only=True)
class Intrinsics:
    """Focal lengths and centre in pixels, and the picture's height and width."""

    height: int
    width: int
    fx: float
    fy: float
    cx: float
    cy: float


def tracker_rotation(angles: np.ndarray) -> np.ndarray:
    """World to camera [T, 3, 3] of the tracker's angles [T, 3] in radians: Rx Ry Rz with the z angle negated."""
    angles = np.asarray(angles, np.float64) * (1, 1, -1)
    return transform.Rotation.from_euler("XYZ", angles).as_matrix()


def tracker_camera(angles: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """Camera to world [T, 4, 4] of tracked angles and translations [T, 3]."""
    turned = np.swapaxes(tracker_rotation(angles), -1, -2)
    return _pose(turned, -(turned @ (np.asarray(translations, np.float64) / _TRACKER_UNITS)[..., None])[..., 0])


def focal_of(scales: np.ndarray, centimetres: float) -> float:
    """The focal length in pixels from which heads of `scales` [T], pixels a model unit of so many centimetres, are
    `DISTANCE` away in the middle."""
    return DISTANCE * float(np.median(scales)) * CM_PER_UNIT / centimetres


def weak_perspective_camera(
    rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, view: Intrinsics, centimetres: float
) -> np.ndarray:
    """Camera to world [T, 4, 4] of heads tracked without perspective: pixel = scale rotation point + translation, with
    rotations [T, 3, 3] of a model whose unit is so many centimetres, scales [T] and translations [T, 2 or 3].

    The head keeps its place and size in the picture; it is turned as much as it lies aside of the camera's axis, since
    without perspective it is seen from straight ahead everywhere.
    """
    centre = np.array(CENTRE_CM) / centimetres
    pixel = scale[:, None] * (rotation @ centre)[:, :2] + np.asarray(translation, np.float64)[:, :2]
    away = view.fx * centimetres / CM_PER_UNIT / scale
    ray = np.stack([(pixel[:, 0] - view.cx) / view.fx, (pixel[:, 1] - view.cy) / view.fy, np.ones_like(scale)], -1)
    aside = np.cross(np.broadcast_to([0.0, 0.0, 1.0], ray.shape), ray)
    angle = np.arctan2(np.linalg.norm(aside, axis=1), 1.0)
    length = np.maximum(np.linalg.norm(aside, axis=1), 1e-12)
    turned = transform.Rotation.from_rotvec(aside * (angle / length)[:, None]).as_matrix() @ rotation
    back = np.swapaxes(turned, -1, -2)
    place = -(back @ (ray * away[:, None])[..., None])[..., 0]
    return _pose(_IMAGE_AXES[:, None] * back * _IMAGE_AXES, place * _IMAGE_AXES)


def field_pose(cameras: np.ndarray, scale: float = SCALE, offset: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Cameras to world [..., 3 or 4, 4] in the axes of the radiance field, [..., 4, 4]."""
    rows = np.asarray(cameras, np.float64)[..., [1, 2, 0], :]
    return _pose(rows[..., :3] * (1, -1, -1), rows[..., 3] * scale + offset)


def pose_numbers(poses: np.ndarray) -> np.ndarray:
    """The six numbers [T, 6] of field poses [T, 4, 4] that the torso is told: XYZ angles, then the translation."""
    return np.concatenate([transform.Rotation.from_matrix(poses[:, :3, :3]).as_euler("XYZ"), poses[:, :3, 3]], -1)


def smooth_poses(poses: np.ndarray, window: int = 7) -> np.ndarray:
    """Poses [T, 3 or 4, 4] averaged over `window` frames around each: translations, and rotations by chordal mean."""
    reach, smoothed = window // 2, np.array(poses, np.float64)
    for frame in range(len(poses)):
        around = slice(max(0, frame - reach), frame + reach + 1)
        smoothed[frame, :3, 3] = poses[around, :3, 3].mean(0)
        smoothed[frame, :3, :3] = transform.Rotation.from_matrix(poses[around, :3, :3]).mean().as_matrix()
    return smoothed


def camera_angles(cameras: np.ndarray) -> np.ndarray:
    """The angles [T, 3] by which data sets and `audio2pose` describe a camera."""
    return transform.Rotation.from_matrix(cameras[..., :3, :3]).as_euler("xyz")


def camera_of_angles(angles: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """The inverse of `camera_angles`, with translations [T, 3]: [T, 3, 4]."""
    return _pose(transform.Rotation.from_euler("xyz", angles).as_matrix(), np.asarray(translations, np.float64))[:, :3]


def _pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    made = np.zeros((*rotation.shape[:-2], 4, 4))
    made[..., :3, :3], made[..., :3, 3], made[..., 3, 3] = rotation, translation, 1
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Rays:
    """Rays of N pixels: `origins` and unit `directions` [N, 3], `columns` and `rows` [N] of the pixels' centres,
    `background` [N, 2] the pixel as (row, column) from -1 to 1."""

    origins: Tensor
    directions: Tensor
    columns: Tensor
    rows: Tensor
    background: Tensor


def pixel_rays(pose: Tensor, view: Intrinsics, pixels: Tensor | None = None) -> Rays:
    """The rays of `pixels` int64 [N] (row by row; None: all) of a camera with a field pose [4, 4]."""
    if pixels is None:
        pixels = torch.arange(view.height * view.width, device=pose.device)
    rows = torch.div(pixels, view.width, rounding_mode="floor")
    columns = pixels - rows * view.width
    x, y = columns.to(pose.dtype) + 0.5, rows.to(pose.dtype) + 0.5
    seen = torch.stack([(x - view.cx) / view.fx, (y - view.cy) / view.fy, torch.ones_like(x)], -1)
    directions = torch.nn.functional.normalize(seen, dim=-1) @ pose[:3, :3].T
    size = torch.tensor([view.height, view.width], device=pose.device)
    return Rays(
        origins=pose[:3, 3].expand(len(pixels), 3),
        directions=directions,
        columns=x,
        rows=y,
        background=2 * torch.stack([rows, columns], -1).to(pose.dtype) / (size - 1) - 1,
    )


def rectangle_pixels(rectangle: tuple[int, int, int, int], width: int) -> Tensor:
    """Pixels int64 [N] of a rectangle (first row, last, first column, last; half open) of a picture `width` wide."""
    top, bottom, left, right = rectangle
    return (torch.arange(top, bottom)[:, None] * width + torch.arange(left, right)).flatten()


def vanilla_rays(camera: np.ndarray, view: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Origins and directions [H, W, 3] of the vanilla renderer: not normalised, pixels counted from their corners."""
    y, x = np.mgrid[: view.height, : view.width].astype(np.float64)
    seen = np.stack([(x - view.cx) / view.fx, -(y - view.cy) / view.fy, -np.ones_like(x)], -1)
    directions = seen @ camera[:3, :3].T
    return np.broadcast_to(camera[:3, 3], directions.shape), directions


def face_rectangles(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """The face's rectangle int64 [T, 4] (x, y, width, height) about 68 points [T, 68, 2] of each frame."""
    x, y = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    centre_x, centre_y = ((x.min(1) + x.max(1)) / 2).astype(int), y[:, 27].astype(int)
    half_width = ((x.max(1) - centre_x) * 1.5).astype(int)
    half_height = ((y[:, 8] - centre_y) * 1.15).astype(int)
    left, top = np.maximum(centre_x - half_width, 0), np.maximum(centre_y - half_height, 0)
    # as published: a rectangle that begins before the picture keeps its size
    sizes = np.minimum(2 * half_width, width - 1 - left), np.minimum(2 * half_height, height - 1 - top)
    return np.stack([left, top, *sizes], -1)


def lip_rectangles(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """The lips' square int64 [T, 4] (first row, last, first column, last; half open), clipped to the picture."""
    lips = points[:, 48:60]
    left, top = lips.min(1).astype(int).T
    right, bottom = lips.max(1).astype(int).T
    half = np.maximum(right - left, bottom - top) // 2
    row, column = (top + bottom) // 2, (left + right) // 2
    edges = [np.clip(v, 0, limit) for v, limit in ((row - half, height), (row + half, height))]
    edges += [np.clip(v, 0, limit) for v, limit in ((column - half, width), (column + half, width))]
    return np.stack(edges, -1)
