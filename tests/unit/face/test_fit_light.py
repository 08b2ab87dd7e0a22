"""Colours looked up on a surface, and their split into albedo and light, on drawings whose light is known."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.face import raster
from talkingface.face.camera import Camera, from_euler_degrees, to_screen
from talkingface.face.fit_light import (
    View,
    fill_unseen,
    frame_light,
    look_at_face,
    sight,
    split_light,
)
from talkingface.face.lighting import ambient_light, harmonics, shading
from talkingface.face.morphable import load_mesh478
from talkingface.face.subdivision import mesh478_surface

SURFACE = mesh478_surface(2)
CAMERA = Camera(1500.0, (160.0, 120.0), (320, 240))
SKIN = np.array([190.0, 140, 110])
LIGHT = ambient_light()
LIGHT[:, 3] = 0.25  # from the picture's left
LIGHT[:, 1] = -0.1


def placed(yaw: float) -> np.ndarray:
    shape = load_mesh478().mean @ from_euler_degrees(np.array([yaw, 0.0, 0.0])).T + [0.1, 0.1, 13]
    return SURFACE.points(shape.astype(np.float32))


def known_albedo() -> np.ndarray:
    """Skin with dark brows and red lips."""
    points = SURFACE.points(load_mesh478().mean)
    albedo = np.tile(SKIN, (len(points), 1))
    brow = (np.abs(points[:, 1] + 0.22) < 0.05) & (np.abs(np.abs(points[:, 0]) - 0.35) < 0.2)
    albedo[brow] = [60, 45, 40]
    lips = (np.abs(points[:, 1] - 0.62) < 0.08) & (np.abs(points[:, 0]) < 0.25)
    albedo[lips] = [160, 70, 70]
    return albedo.astype(np.float32)


def drawing(points: np.ndarray, light: np.ndarray = LIGHT) -> np.ndarray:
    colours = known_albedo() * shading(SURFACE.normals(points), light)
    seen = raster.rasterize(to_screen(CAMERA, points), SURFACE.visible, CAMERA.size, perspective=True)
    return np.clip(raster.interpolate(seen, SURFACE.visible, colours), 0, 255).astype(np.uint8)


def test_the_view_shows_the_face_through_its_own_camera():
    points = placed(0)
    view = look_at_face(drawing(points), CAMERA, points)
    assert view.picture.shape[0] == view.picture.shape[1] == view.camera.size[0] <= 224
    pixels, _ = view.camera.project(points)
    assert pixels.min() > 0 and pixels.max() < view.camera.size[0]
    whole, _ = CAMERA.project(points)
    ratio = view.camera.focal_px / CAMERA.focal_px
    assert np.diff(pixels, axis=0) == pytest.approx(ratio * np.diff(whole, axis=0), abs=1e-3)


def test_a_large_face_is_reduced_to_the_view():
    points = placed(0)
    large = Camera(6000.0, (640.0, 480.0), (1280, 960))
    view = look_at_face(np.zeros((960, 1280, 3), np.uint8), large, points)
    assert view.picture.shape == (224, 224, 3)


def test_hidden_vertices_are_not_seen():
    left, right = 234, 454  # before the two ears
    frontal, turned = (sight(View(drawing(p), CAMERA), SURFACE, p).weights for p in (placed(0), placed(60)))
    assert frontal[4] > 0.8 and turned[4] > 0.05
    assert (turned[left] > 0) != (turned[right] > 0), "one side of a turned face is hidden"


def test_seen_colours_are_the_drawn_ones():
    points = placed(10)
    seen = sight(View(drawing(points), CAMERA), SURFACE, points)
    expected = known_albedo() * shading(SURFACE.normals(points), LIGHT)
    clear = seen.weights > 0.5
    assert np.median(np.abs(seen.colours - expected)[clear]) < 2


def test_light_and_albedo_come_apart():
    sightings = [sight(View(drawing(p), CAMERA), SURFACE, p) for p in map(placed, (-25, -10, 0, 10, 25))]
    albedo, light, evidence = split_light(sightings)
    known = evidence > np.median(evidence)
    true = known_albedo()
    level = np.median(albedo[known] / true[known], axis=0)
    assert level == pytest.approx(1, abs=0.1)
    assert np.median(np.abs(albedo / level - true)[known]) < 8
    # several of the nine functions are alike on a face's visible side: judge the light by what it does
    ratio = (shading(sightings[2].normals, light) / shading(sightings[2].normals, LIGHT))[sightings[2].weights > 0.3]
    assert np.percentile(np.abs(ratio / np.median(ratio, axis=0) - 1), 90) < 0.08
    again = albedo * shading(sightings[2].normals, light)
    clear = sightings[2].weights > 0.5
    assert np.median(np.abs(again - sightings[2].colours)[clear]) < 2


def test_stray_pictures_do_not_count():
    sightings = [sight(View(drawing(p), CAMERA), SURFACE, p) for p in map(placed, (-10, -5, 0, 5, 10))]
    clean, _, _ = split_light(sightings)
    covered = drawing(placed(0))
    covered[100:160, 140:190] = (20, 200, 20)
    sightings[2] = sight(View(covered, CAMERA), SURFACE, placed(0))
    stray, _, evidence = split_light(sightings)
    known = evidence > np.median(evidence)
    assert np.percentile(np.abs(stray - clean)[known], 95) < 12


def test_a_frame_of_its_own_light():
    points = placed(0)
    other = 0.8 * LIGHT
    seen = sight(View(drawing(points, other), CAMERA), SURFACE, points)
    light = frame_light(seen, known_albedo(), LIGHT.astype(np.float64))
    shown = shading(seen.normals, light)[seen.weights > 0.5]
    wanted = shading(seen.normals, other)[seen.weights > 0.5]
    assert np.median(np.abs(shown / wanted - 1)) < 0.1
    hidden = np.flatnonzero(seen.weights == 0)
    dark = sight(View(drawing(points, other), CAMERA), SURFACE, points, hidden)
    assert dark.weights.max() == 0
    assert frame_light(dark, known_albedo()[hidden], LIGHT) == pytest.approx(LIGHT, abs=1e-6)


def test_unseen_vertices_take_their_neighbours_colour():
    values = known_albedo()
    evidence = np.ones(len(values), np.float32)
    points = SURFACE.points(load_mesh478().mean)
    hidden = np.linalg.norm(points - points[205], axis=1) < 0.1  # a patch of the cheek
    evidence[hidden] = 0
    values[hidden] = 0
    filled = fill_unseen(values, evidence, SURFACE.triangles)
    assert filled[hidden] == pytest.approx(np.tile(SKIN, (hidden.sum(), 1)), abs=3)
    assert np.array_equal(filled[~hidden], values[~hidden])


def test_harmonics_of_the_light_used_here_are_positive_on_a_face():
    assert (harmonics(SURFACE.normals(placed(0))) @ LIGHT[0] > 0)[np.unique(SURFACE.skin)].mean() > 0.95
