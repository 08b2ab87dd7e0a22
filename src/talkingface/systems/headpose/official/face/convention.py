"""The published 3D convention: its 257 coefficients, rotation, camera and light, and the conversions to this toolkit's.

Yi et al. 2020 reconstruct as Deng et al. 2019 do: x right, y up, z to the viewer, one unit 10 cm; a head is turned by
`points @ R` with R = (Rz Ry Rx)^T, moved by a translation, and seen from z = 10 with a focal length of 1015 px in a
picture of 224 x 224. Face models and pictures in this toolkit have y down and z away; `flipped` goes both ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from talkingface.face.camera import Array, Camera, array_library, rotation_matrix
from talkingface.face.lighting import AMBIENT, shading
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.official.face.crop import CROP_PX, TEMPLATE, CropTransform

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
    """Points or directions [..., 3] between the axes of `headpose` and those of `face/camera.py`, either way."""
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


def crop_camera(camera: Camera, transform: CropTransform) -> Camera:
    """A frame's camera, for pictures of the frame's crop."""
    x, y = transform.origin
    centre = (camera.centre_px[0] - x) * transform.scale, (camera.centre_px[1] - y) * transform.scale
    return Camera(camera.focal_px * transform.scale, centre, (CROP_PX, CROP_PX))


def units_of(model: LinearFaceModel) -> float:
    """Units of 10 cm in one unit of the model, by the distance of the eyes in the crop's template."""
    points = model.mean[model.landmarks68[36:48]].reshape(2, 6, 3).mean(1)
    return float(np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) / np.linalg.norm(points[1] - points[0]))


def pose_of(
    model: LinearFaceModel, rotation: np.ndarray, translation: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Poses fitted with any camera in this convention: angles [T, 3] and translation [T, 3] before `CAMERA`.

    `rotation` [T, 3, 3] and `translation` [T, 3] bring the model before `camera` (`face/camera.py`, model units), a
    crop's camera (`crop_camera`). The face keeps its size and place in the picture; its angles are those seen along the
    line of sight, because the two cameras look at it from different directions.
    """
    units = units_of(model)
    centre = rotation @ model.mean.mean(0) + translation
    pixels, depth = camera.project(centre)
    scale = camera.focal_px / depth / units  # pixels per 10 cm
    distance = CAMERA.focal_px / scale
    x = (pixels[:, 0] - CAMERA.centre_px[0]) / scale
    y = (pixels[:, 1] - CAMERA.centre_px[1]) / scale
    seen_here = _line_of_sight(np.stack([x, y, distance], -1))
    apparent = np.swapaxes(_line_of_sight(centre), -1, -2) @ rotation
    turned = seen_here @ apparent
    signs = np.array([1.0, -1.0, -1.0])
    upright = signs[:, None] * turned * signs  # the same rotation in this convention's axes
    return angles_of(np.swapaxes(upright, -1, -2)), np.stack([x, -y, CAMERA_Z - distance], -1)


def placement_of(model: LinearFaceModel, angles: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `pose_of` for `CAMERA` itself: rotation [T, 3, 3] and translation [T, 3] in model units."""
    signs = np.array([1.0, -1.0, -1.0])
    rotation = signs[:, None] * np.swapaxes(rotation_of(np.asarray(angles, np.float64)), -1, -2) * signs
    centre = before_camera(np.asarray(translation, np.float64)) / units_of(model)
    return rotation, centre - rotation @ model.mean.mean(0)


def placement_in(
    model: LinearFaceModel,
    angles: np.ndarray,
    translation: np.ndarray,
    transforms: Sequence[CropTransform],
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [T, 3, 3] and translation [T, 3] before a frame's `camera` of poses [T, 3] and [T, 3] seen in crops.

    For models in units of 10 cm. Each crop was seen by `CAMERA`; the face keeps its size and place in the picture, and
    its angles along the line of sight (see `pose_of`).
    """
    signs = np.array([1.0, -1.0, -1.0])
    rotation = signs[:, None] * np.swapaxes(rotation_of(np.asarray(angles, np.float64)), -1, -2) * signs
    centre = before_camera(np.asarray(translation, np.float64))
    pixels, depth = CAMERA.project(centre)
    scale = np.array([transform.scale for transform in transforms])
    pixels = pixels / scale[:, None] + np.array([transform.origin for transform in transforms])
    distance = depth * scale * camera.focal_px / CAMERA.focal_px
    aside = (pixels - np.array(camera.centre_px)) * (distance / camera.focal_px)[:, None]
    there = np.concatenate([aside, distance[:, None]], axis=1)
    turned = _line_of_sight(there) @ np.swapaxes(_line_of_sight(centre), -1, -2) @ rotation
    return turned, there - turned @ model.mean.mean(0)


def _line_of_sight(points: np.ndarray) -> np.ndarray:
    """The smallest rotations [T, 3, 3] that turn the z axis towards points [T, 3]."""
    x, y, z = np.moveaxis(points, -1, 0)
    across = np.hypot(x, y)
    angle = np.arctan2(across, z)
    axis = np.stack([-y, x, np.zeros_like(x)], -1) / np.maximum(across, 1e-12)[..., None]
    return np.asarray(rotation_matrix(axis * angle[..., None]))


def _columns(values: Array) -> tuple[Array, Array, Array]:
    return values[..., 0], values[..., 1], values[..., 2]
