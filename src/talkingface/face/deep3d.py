"""The 3D convention of Deng et al. 2019 (Deep3DFaceReconstruction): 257 coefficients, rotation, camera and light.

x right, y up, z to the viewer, one unit 10 cm; a head is turned by `points @ R` with R = (Rz Ry Rx)^T, moved by a
translation, and seen from z = 10 with a focal length of 1015 px in a picture of 224 x 224. Face models and pictures in
this toolkit have y down and z away; `flipped` goes both ways.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from talkingface.face.camera import Array, Camera, array_library
from talkingface.face.lighting import AMBIENT, shading
from talkingface.face.morphable import LinearFaceModel

CROP_PX = 224
"""Side of the pictures that faces are reconstructed from."""
CAMERA_Z = 10.0
CAMERA = Camera(1015.0, (CROP_PX / 2, CROP_PX / 2), (CROP_PX, CROP_PX))
PARTS = {"identity": 80, "expression": 64, "texture": 80, "angles": 3, "light": 27, "translation": 3}
"""Parts of a coefficient row in order, with their sizes."""


def split_coefficients(rows: Array, parts: Mapping[str, int] = PARTS) -> dict[str, Array]:
    """The named parts [..., n] of coefficient rows [..., 257]. Raises ValueError for rows of another length."""
    if rows.shape[-1] != sum(parts.values()):
        raise ValueError(f"coefficient rows must have {sum(parts.values())} numbers, these have {rows.shape[-1]}")
    ends = np.cumsum(list(parts.values())).tolist()
    return {name: rows[..., end - size : end] for (name, size), end in zip(parts.items(), ends, strict=True)}


def flipped(points: Array) -> Array:
    """Points or directions [..., 3] between these axes and those of `face/camera.py`, either way."""
    return array_library(points).stack([points[..., 0], -points[..., 1], -points[..., 2]], axis=-1)


def rotation_of(angles: Array) -> Array:
    """Matrices [..., 3, 3], to be used as `points @ R`, of angles [..., 3] about x, y and z in radians."""
    xp = array_library(angles)
    sin, cos = xp.sin(angles), xp.cos(angles)
    (sx, sy, sz), (cx, cy, cz) = _columns(sin), _columns(cos)
    rows = [
        [cz * cy, sz * cy, -sy],
        [cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx],
        [cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def angles_of(rotation: Array) -> Array:
    """Angles [..., 3] of matrices [..., 3, 3]: the inverse of `rotation_of` for turns about y of up to 90 degrees."""
    xp = array_library(rotation)
    x = xp.arctan2(rotation[..., 1, 2], rotation[..., 2, 2])
    y = xp.arctan2(-rotation[..., 0, 2], xp.sqrt(rotation[..., 1, 2] ** 2 + rotation[..., 2, 2] ** 2))
    z = xp.arctan2(rotation[..., 0, 1], rotation[..., 0, 0])
    return xp.stack([x, y, z], axis=-1)


def shape_of(model: LinearFaceModel, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Vertices [..., V, 3] in this convention's axes, the centre of the mean shape at the origin."""
    return flipped(model.shape(identity, expression) - model.mean.mean(0))


def placed(shape: Array, angles: Array, translation: Array) -> Array:
    """The shape [..., V, 3] turned and moved, still in this convention's axes."""
    return shape @ rotation_of(angles) + translation[..., None, :]


def before_camera(points: Array) -> Array:
    """Placed points [..., V, 3] in the axes of `face/camera.py`, distance as z: what `CAMERA.project` takes."""
    return array_library(points).stack([points[..., 0], -points[..., 1], CAMERA_Z - points[..., 2]], axis=-1)


def light_of(numbers: Array) -> Array:
    """Light [..., 3, 9] as `face/lighting.py` takes it, of the 27 light numbers [..., 27]."""
    light = numbers.reshape(*numbers.shape[:-1], 3, 9)
    return array_library(numbers).concatenate([light[..., :1] + AMBIENT, light[..., 1:]], axis=-1)


def lit(albedo: Array, normals: Array, angles: Array, numbers: Array) -> Array:
    """Colours [..., V, 3] of an albedo (RGB, 0 to 255) whose unturned normals are given, under light numbers [..., 27].

    May leave 0..255; dividing colours by the same light (`unlit`) gives the albedo back.
    """
    return albedo * _light_on(normals, angles, numbers)


def unlit(colours: Array, normals: Array, angles: Array, numbers: Array) -> Array:
    """The albedo [..., V, 3] of lit colours: the inverse of `lit`."""
    return colours / _light_on(normals, angles, numbers)


def _light_on(normals: Array, angles: Array, numbers: Array) -> Array:
    return shading(flipped(normals @ rotation_of(angles)), light_of(numbers))


def _columns(values: Array) -> tuple[Array, Array, Array]:
    return values[..., 0], values[..., 1], values[..., 2]
