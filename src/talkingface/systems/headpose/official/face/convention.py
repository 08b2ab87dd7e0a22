"""Between the published 3D convention (`face/deep3d.py`, as Yi et al. 2020 reconstruct) and this toolkit's cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talkingface.face.camera import Camera, rotation_matrix
from talkingface.face.deep3d import CAMERA, CAMERA_Z, CROP_PX, angles_of, before_camera, rotation_of
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.official.face.crop import TEMPLATE, CropTransform


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
