"""The one camera convention, projections, and rotations.

Axes are OpenCV's, right-handed: x right, y down, z forward, away from the viewer. Pictures use the same x and y in
pixels; the picture's corner is (0, 0), so pixel centres lie at whole numbers plus one half. A rotation matrix R takes a
column vector of the model to the camera, `R @ p`; rotation vectors are axis times angle in radians, right-handed.
A head at rest has R = 1 and looks at the viewer, its nose towards -z.

Angles for people are yaw, pitch and roll in degrees: yaw > 0 turns the face to the viewer's right, pitch > 0 looks up,
roll > 0 tilts the head clockwise as seen. R = Ry(-yaw) @ Rx(-pitch) @ Rz(roll).

Every function takes NumPy arrays or torch tensors, with any leading dimensions, and returns the same kind; with
torch all of it is differentiable.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

Array = Any  # np.ndarray or torch.Tensor

_SMALL = 1e-6  # squared angle below which short series are exact to 1e-12


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera: `focal_px`, `centre_px` (x, y) where its axis meets the picture, `size` (width, height)."""

    focal_px: float
    centre_px: tuple[float, float]
    size: tuple[int, int]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels [..., V, 2] and depth [..., V] of points [..., V, 3] in camera coordinates.

        Only points with z > 0 are in front of the camera; the pixels of others mean nothing.

        >>> Camera(100.0, (32.0, 32.0), (64, 64)).project(np.array([[1.0, 0.0, 10.0]]))[0].tolist()
        [[42.0, 32.0]]
        """
        depth = points[..., 2]
        scale = self.focal_px / depth
        return _pixels(points, scale, self.centre_px), depth

    def unproject(self, pixels: Array, depth: Array) -> Array:
        """Points [..., V, 3] seen at pixels [..., V, 2] at distance `depth` [..., V] along the axis."""
        x = (pixels[..., 0] - self.centre_px[0]) * depth / self.focal_px
        y = (pixels[..., 1] - self.centre_px[1]) * depth / self.focal_px
        return array_library(pixels).stack([x, y, depth], axis=-1)


@dataclass(frozen=True, slots=True)
class OrthographicCamera:
    """Parallel projection (weak perspective): `scale_px` pixels per unit, for the depth too, which so is in pixels."""

    scale_px: float
    centre_px: tuple[float, float]
    size: tuple[int, int]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels [..., V, 2] and depth [..., V] in pixels of points [..., V, 3]."""
        return _pixels(points, self.scale_px, self.centre_px), points[..., 2] * self.scale_px

    def unproject(self, pixels: Array, depth: Array) -> Array:
        """Points [..., V, 3] seen at pixels [..., V, 2] with `depth` [..., V] in pixels."""
        x = (pixels[..., 0] - self.centre_px[0]) / self.scale_px
        y = (pixels[..., 1] - self.centre_px[1]) / self.scale_px
        return array_library(pixels).stack([x, y, depth / self.scale_px], axis=-1)


def array_library(array: Array) -> Any:
    """The module whose functions fit the array: NumPy, or torch, which accepts NumPy's names for what is used."""
    torch = sys.modules.get("torch")  # a tensor can only come from a torch that is loaded already
    return torch if torch is not None and isinstance(array, torch.Tensor) else np


def to_screen(camera: Camera | OrthographicCamera, points: Array) -> Array:
    """Project points [..., V, 3] to rows of x, y in pixels and depth, as `face/raster.py` takes them."""
    pixels, depth = camera.project(points)
    return array_library(points).concatenate([pixels, depth[..., None]], axis=-1)


def rotation_matrix(rotvec: Array) -> Array:
    """Matrices [..., 3, 3] of rotation vectors [..., 3]; gradients are finite everywhere, also at zero.

    >>> rotation_matrix(np.array([0.0, 0.0, pi / 2])).round(3)[0].tolist()
    [0.0, -1.0, 0.0]
    """
    xp = array_library(rotvec)
    x, y, z = rotvec[..., 0], rotvec[..., 1], rotvec[..., 2]
    square = x * x + y * y + z * z
    small = square < _SMALL
    angle = xp.sqrt(xp.where(small, xp.ones_like(square), square))
    a = xp.where(small, 1 - square / 6, xp.sin(angle) / angle)
    # 2 sin(t/2)^2 rather than 1 - cos t, which loses half the digits at small angles.
    b = xp.where(small, 0.5 - square / 24, 2 * (xp.sin(angle / 2) / angle) ** 2)
    rows = [
        [1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y],
        [b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x],
        [b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_vector(rotation: Array) -> Array:
    """Rotation vectors [..., 3], length at most pi, of matrices [..., 3, 3]; exact up to and at half turns."""
    xp = array_library(rotation)
    r = [[rotation[..., i, j] for j in range(3)] for i in range(3)]
    # Rows of 4 q q^T for the quaternion q = (w, x, y, z); the one with the largest diagonal is its safest multiple.
    wx, wy, wz = r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]
    xy, xz, yz = r[1][0] + r[0][1], r[0][2] + r[2][0], r[2][1] + r[1][2]
    ww, xx = 1 + r[0][0] + r[1][1] + r[2][2], 1 + r[0][0] - r[1][1] - r[2][2]
    yy, zz = 1 - r[0][0] + r[1][1] - r[2][2], 1 - r[0][0] - r[1][1] + r[2][2]
    rows = xp.stack(
        [xp.stack(row, axis=-1) for row in ([ww, wx, wy, wz], [wx, xx, xy, xz], [wy, xy, yy, yz], [wz, xz, yz, zz])],
        axis=-2,
    )
    diagonal = xp.stack([ww, xx, yy, zz], axis=-1)
    best = diagonal.argmax(-1)
    chosen = xp.stack([best == k for k in range(4)], axis=-1)[..., None]
    quaternion = xp.where(chosen, rows, xp.zeros_like(rows)).sum(-2)
    quaternion = xp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    quaternion = quaternion / xp.sqrt((quaternion**2).sum(-1))[..., None]
    w, axis = quaternion[..., 0], quaternion[..., 1:]
    square = (axis**2).sum(-1)
    small = square < _SMALL
    sine = xp.sqrt(xp.where(small, xp.ones_like(square), square))
    safe_w = xp.where(small, w, xp.ones_like(w))  # w is near 1 where the series is used
    factor = xp.where(small, 2 / safe_w * (1 - square / (3 * safe_w**2)), 2 * xp.arctan2(sine, w) / sine)
    return axis * factor[..., None]


def euler_degrees(rotation: Array) -> Array:
    """Yaw, pitch, roll in degrees, [..., 3], of matrices [..., 3, 3]; pitch in [-90, 90].

    >>> yaw, pitch, roll = euler_degrees(from_euler_degrees(np.array([30.0, -10.0, 5.0])))
    >>> round(float(yaw), 3), round(float(pitch), 3), round(float(roll), 3)
    (30.0, -10.0, 5.0)
    """
    xp = array_library(rotation)
    forward_x, forward_y, forward_z = rotation[..., 0, 2], rotation[..., 1, 2], rotation[..., 2, 2]
    yaw = -xp.arctan2(forward_x, forward_z)
    pitch = xp.arctan2(forward_y, xp.sqrt(forward_x**2 + forward_z**2))
    roll = xp.arctan2(rotation[..., 1, 0], rotation[..., 1, 1])
    return xp.stack([yaw, pitch, roll], axis=-1) * (180 / pi)


def from_euler_degrees(angles: Array) -> Array:
    """Rotation matrices [..., 3, 3] of yaw, pitch, roll in degrees, [..., 3]."""
    xp = array_library(angles)
    radians = angles * (pi / 180)
    zero = xp.zeros_like(radians[..., 0])
    about_y = rotation_matrix(xp.stack([zero, -radians[..., 0], zero], axis=-1))
    about_x = rotation_matrix(xp.stack([-radians[..., 1], zero, zero], axis=-1))
    about_z = rotation_matrix(xp.stack([zero, zero, radians[..., 2]], axis=-1))
    return about_y @ about_x @ about_z


def _pixels(points: Array, scale: Array | float, centre_px: tuple[float, float]) -> Array:
    x = points[..., 0] * scale + centre_px[0]
    y = points[..., 1] * scale + centre_px[1]
    return array_library(points).stack([x, y], axis=-1)
