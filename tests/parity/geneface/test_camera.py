"""Cameras, rays and rectangles of the published data and renderers."""

from __future__ import annotations

import re

import numpy as np
import torch

from parity.fixtures import load_fixture, search
from parity.recipe import Recipes
from talkingface.systems.geneface.official import camera


def test_cameras():
    fixture = load_fixture("geneface", "camera")
    angles, translations = fixture.array("track_euler"), fixture.array("track_trans")
    fixture.assert_close("tracker_rotation", camera.tracker_rotation(angles), 1e-5)
    poses = camera.tracker_camera(angles, translations)
    fixture.assert_close("c2w", poses, 1e-5)
    placed = camera.field_pose(poses, fixture.config["camera_scale"], tuple(fixture.config["camera_offset"]))
    fixture.assert_close("ngp_pose", placed, 1e-5)
    fixture.assert_close("pose6", camera.pose_numbers(placed), 1e-5)
    window = fixture.config["smooth_kernel"]
    fixture.assert_close("ngp_pose_smoothed", camera.smooth_poses(placed, window), 1e-5)
    fixture.assert_close("c2w_smoothed", camera.smooth_poses(poses, window)[:, :3], 1e-5)
    seen = camera.camera_angles(poses)
    fixture.assert_close("euler_xyz_scipy", seen, 1e-5)
    fixture.assert_close("c2w_from_euler_trans", camera.camera_of_angles(seen, poses[:, :3, 3]), 1e-5)


def test_rays():
    fixture = load_fixture("geneface", "camera")
    config = fixture.config["rays"]
    view = camera.Intrinsics(
        height=config["H"], width=config["W"], **{name: config[name] for name in ("fx", "fy", "cx", "cy")}
    )
    poses = camera.tracker_camera(fixture.array("track_euler"), fixture.array("track_trans"))
    pose = torch.from_numpy(camera.field_pose(poses)[0])
    rays = camera.pixel_rays(pose, view)
    fixture.assert_close("rays_o", rays.origins[None], 1e-5)
    fixture.assert_close("rays_d", rays.directions[None], 1e-5)
    fixture.assert_close("rays_i", rays.columns[None], 1e-6)
    fixture.assert_close("rays_j", rays.rows[None], 1e-6)
    fixture.assert_close("bg_coords", rays.background[None], 1e-6)
    found = fixture.note(r"rect = rows (\d+)\.\.(\d+), columns (\d+)\.\.(\d+)")
    top, bottom, left, right = map(int, found.groups())  # the last row and column are inside
    pixels = camera.rectangle_pixels((top, bottom + 1, left, right + 1), view.width)
    fixture.assert_equal("rect_inds", pixels[None])
    fixture.assert_close("rect_rays_d", camera.pixel_rays(pose, view, pixels).directions[None], 1e-5)
    origins, directions = camera.vanilla_rays(poses[0], view)
    fixture.assert_close("vanilla_rays_o", origins, 1e-5)
    fixture.assert_close("vanilla_rays_d", directions, 1e-5)


def test_rectangles():
    fixture = load_fixture("geneface", "camera")
    text = fixture.inputs["lms68"]
    points = _landmarks(text)
    width, height = map(int, search(r"in a (\d+)x(\d+) image", text).groups())
    fixture.assert_equal("face_rect_xywh", camera.face_rectangles(points, width, height))
    fixture.assert_equal("lip_rect_rows_cols", camera.lip_rectangles(points, width, height))


def _landmarks(text: str) -> np.ndarray:
    """ "float32 of .. (x, y) in a 512x512 image; then y of point 8 += 140 and y of point 27 -= 60"."""
    drawn, _, edits = text.partition(" (x, y)")
    points = np.array(Recipes({"lms68": drawn}).value("lms68"))
    for axis, number, sign, by in re.findall(r"([xy]) of point (\d+) ([+-])= ([\d.]+)", edits):
        points[:, int(number), "xy".index(axis)] += float(sign + by)
    return points
