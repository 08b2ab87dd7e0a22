"""Light on a mesh: vertex normals and spherical-harmonic shading (Ramamoorthi & Hanrahan 2001).

Points and normals are in the camera axes of `face/camera.py`. Light is [..., 3, 9]: for red, green and blue the weights
of the nine functions of `harmonics`, in the order and scale of Deep3DFaceReconstruction (Deng et al. 2019), so that the
27 light numbers of that family of models mean the same here. Every function takes NumPy arrays or torch tensors and
returns the same kind; with torch all of it is differentiable.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from talkingface.face.camera import Array, array_library

AMBIENT = 0.8
"""What Deep3DFaceReconstruction adds to the constant function's weight: its light numbers are small about zero."""

_A0, _A1, _A2 = pi, 2 * pi / sqrt(3), 2 * pi / sqrt(8)
_C0, _C1, _C2 = 1 / sqrt(4 * pi), sqrt(3) / sqrt(4 * pi), 3 * sqrt(5) / sqrt(12 * pi)
CONSTANT = _A0 * _C0
"""Value of the constant function."""


def vertex_normals(points: Array, triangles: Array) -> Array:
    """Unit normals [..., V, 3] of vertices [..., V, 3], outwards where the triangles [F, 3] show their front.

    Neighbouring triangles count by their area. A vertex without a triangle, or amid degenerate ones, gets zero.
    """
    xp = array_library(points)
    a, b, c = (points[..., triangles[:, k], :] for k in range(3))
    area = _cross(xp, a - b, b - c)
    summed = _sum_at_corners(xp, area, triangles, points.shape[-2])
    length = xp.sqrt((summed * summed).sum(-1))[..., None]
    return summed / xp.where(length > 0, length, xp.ones_like(length))


def harmonics(normals: Array) -> Array:
    """The nine functions [..., 9] at unit normals [..., 3].

    >>> harmonics(np.array([0.0, 0.0, -1.0])).round(3).tolist()  # a surface that faces the viewer
    [0.886, 0.0, 1.772, -0.0, 0.0, 0.0, 1.716, -0.0, 0.0]
    """
    xp = array_library(normals)
    x, y, z = normals[..., 0], -normals[..., 1], -normals[..., 2]  # the functions have y up and z to the viewer
    rows = [
        xp.ones_like(x) * CONSTANT,
        -_A1 * _C1 * y,
        _A1 * _C1 * z,
        -_A1 * _C1 * x,
        _A2 * _C2 * x * y,
        -_A2 * _C2 * y * z,
        _A2 * _C2 / (2 * sqrt(3)) * (3 * z * z - 1),
        -_A2 * _C2 * x * z,
        _A2 * _C2 / 2 * (x * x - y * y),
    ]
    return xp.stack(rows, axis=-1)


def shading(normals: Array, light: Array) -> Array:
    """What colours [..., V, 3] are multiplied by under `light` [..., 3, 9], at unit normals [..., V, 3]."""
    xp = array_library(normals)
    return harmonics(normals) @ xp.swapaxes(light, -1, -2)


def ambient_light(level: float = 1.0) -> np.ndarray:
    """Light [3, 9] that multiplies every colour by `level`."""
    light = np.zeros((3, 9), np.float32)
    light[:, 0] = level / CONSTANT
    return light


def _cross(xp: object, a: Array, b: Array) -> Array:
    x = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    y = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    z = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return xp.stack([x, y, z], axis=-1)  # type: ignore[attr-defined]


def _sum_at_corners(xp: object, values: Array, triangles: Array, num_points: int) -> Array:
    """Add each triangle's values [..., F, 3] to its three corners: [..., V, 3]."""
    if xp is not np:
        total = values.new_zeros(*values.shape[:-2], num_points, 3)
        for k in range(3):
            total = total.index_add(-2, triangles[:, k].long(), values)
        return total
    corners = np.ascontiguousarray(triangles.T).ravel()
    flat = values.reshape(-1, len(triangles), 3)
    rows = [
        [np.bincount(corners, np.tile(face_values[:, axis], 3), num_points) for axis in range(3)]
        for face_values in flat
    ]
    return np.array(rows).swapaxes(-1, -2).reshape(*values.shape[:-2], num_points, 3).astype(values.dtype)
