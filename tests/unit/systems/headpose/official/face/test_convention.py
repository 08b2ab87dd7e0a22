"""The ways between the axes, cameras and poses of `headpose` and ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from talkingface.face.camera import Camera, rotation_matrix
from talkingface.face.deep3d import (
    CAMERA,
    PARTS,
    angles_of,
    before_camera,
    flipped,
    light_of,
    placed,
    rotation_of,
    shape_of,
    split_coefficients,
)
from talkingface.face.morphable import load_mesh478
from talkingface.systems.headpose.official.face.convention import crop_camera, placement_of, pose_of, units_of
from talkingface.systems.headpose.official.face.crop import CropTransform

MODEL = load_mesh478()
ANGLES = np.array([[0.1, -0.2, 0.05], [-0.3, 0.4, -0.2]])


def test_coefficients_are_split_in_their_order():
    rows = np.arange(2 * 257).reshape(2, 257)
    parts = split_coefficients(rows)
    assert np.concatenate(list(parts.values()), -1).tolist() == rows.tolist()
    assert [part.shape[-1] for part in parts.values()] == list(PARTS.values())
    with pytest.raises(ValueError, match="257"):
        split_coefficients(rows[:, 1:])


def test_rotation_is_the_transposed_product_of_elementary_turns():
    expected = Rotation.from_euler("xyz", ANGLES).as_matrix().swapaxes(-1, -2)
    np.testing.assert_allclose(rotation_of(ANGLES), expected, atol=1e-12)
    np.testing.assert_allclose(rotation_of(torch.from_numpy(ANGLES)).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(angles_of(expected), ANGLES, atol=1e-12)


def test_light_numbers_are_small_about_a_plain_light():
    light = light_of(np.zeros(27))
    assert light[:, 0].tolist() == [0.8] * 3 and not light[:, 1:].any()


def test_a_pose_and_its_placement_show_the_same_picture():
    translation = np.array([[0.05, -0.1, 0.2], [-0.2, 0.1, -0.3]])
    shape = shape_of(MODEL, np.zeros(MODEL.identity.shape[-1]), np.zeros((2, MODEL.expression.shape[-1])))
    units = units_of(MODEL)
    expected, depth = CAMERA.project(before_camera(placed(shape * units, ANGLES, translation)))
    rotation, shift = placement_of(MODEL, ANGLES, translation)
    pixels, our_depth = CAMERA.project(MODEL.mean @ rotation.swapaxes(-1, -2) + shift[:, None])
    np.testing.assert_allclose(pixels, expected, atol=1e-3)
    np.testing.assert_allclose(our_depth * units, depth, rtol=1e-5)
    angles, back = pose_of(MODEL, rotation, shift, CAMERA)
    np.testing.assert_allclose(angles, ANGLES, atol=1e-6)
    np.testing.assert_allclose(back, translation, atol=1e-6)


def test_a_pose_seen_by_another_camera_keeps_size_and_place():
    camera = Camera(900.0, (640.0, 360.0), (1280, 720))
    transform = CropTransform((1280, 720), 0.5, 700.0, 330.0)
    rotation = rotation_matrix(np.array([[0.1, 0.2, -0.1]]))
    shift = np.array([[0.35, 0.1, 4.5]])
    inside = crop_camera(camera, transform)
    expected, _ = inside.project(MODEL.mean @ rotation.swapaxes(-1, -2) + shift[:, None])
    whole, _ = camera.project(MODEL.mean @ rotation.swapaxes(-1, -2) + shift[:, None])
    x, y = transform.origin
    np.testing.assert_allclose(expected, (whole - [x, y]) * transform.scale, atol=1e-6)
    again, shift = placement_of(MODEL, *pose_of(MODEL, rotation, shift, inside))
    pixels, _ = CAMERA.project(MODEL.mean @ again.swapaxes(-1, -2) + shift[:, None])
    assert np.abs(pixels - expected).mean() < 1.5, "the two cameras differ in perspective only"


def test_axes_go_both_ways():
    points = np.random.default_rng(0).normal(size=(4, 3))
    assert flipped(flipped(points)).tolist() == points.tolist()
    assert flipped(points)[:, 1:].tolist() == (-points[:, 1:]).tolist()
