"""Motion of space mesh478 for a published field: conditions and cameras."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import transform

from talkingface.core.motion import cut_motion
from talkingface.core.types import Motion
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import load_mesh478
from talkingface.systems.geneface.landmarks3d import centimetres
from talkingface.systems.geneface.official.camera import CENTRE_CM, field_pose, pixel_rays
from talkingface.systems.geneface.official.driving import Range, driven_windows, motion_landmarks
from talkingface.systems.geneface.official.material import FieldView, view_cameras

MODEL = load_mesh478()


def motion(rows: int, start: int = 0) -> Motion:
    rng = np.random.default_rng(start)
    return Motion(
        space=MESH478.name,
        space_version=MESH478.version,
        expression=rng.normal(size=(rows, MODEL.expression.shape[-1])).astype(np.float32),
        pose=None,
        blink=rng.random((rows, 1)).astype(np.float32),
        fps=25,
        start=start,
    )


def cut(whole: Motion, edges: list[int]) -> list[Motion]:
    spans = zip([0, *edges], [*edges, len(whole)], strict=True)
    return [
        Motion(
            space=whole.space, space_version=whole.space_version, expression=whole.expression[a:b], pose=None,
            blink=whole.blink[a:b], fps=25, start=a,
        )
        for a, b in spans
    ]  # fmt: skip


@pytest.mark.parametrize("edges", [[1], [2, 3], [5, 6]])
def test_windows_do_not_depend_on_how_a_motion_is_cut(edges):
    whole = motion(7)
    seen = Range.of(motion_landmarks(MODEL, whole.expression, whole.blink))
    expected = np.stack(list(driven_windows([whole], MODEL, seen, 5)))
    assert expected.shape == (7, 5, 1, 204)
    assert np.array_equal(expected, np.stack(list(driven_windows(cut(whole, edges), MODEL, seen, 5))))
    # each in the middle of its window, the first and the last beyond the ends
    middles = expected[:, 2, 0]
    assert np.array_equal(expected[0, 0, 0], middles[0]) and np.array_equal(expected[0, 4, 0], middles[2])
    assert np.array_equal(expected[6, 4, 0], middles[6]) and np.array_equal(expected[6, 1, 0], middles[5])


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_short_motions_have_as_many_windows_as_frames(rows):
    whole = motion(max(rows, 1))
    seen = Range.of(motion_landmarks(MODEL, whole.expression, whole.blink))
    assert len(list(driven_windows([whole] if rows else [], MODEL, seen, 5))) == rows


def test_live_frames_do_not_wait_for_later_ones():
    whole = motion(12)
    seen = Range.of(motion_landmarks(MODEL, whole.expression, whole.blink))
    handed = 0

    def pieces():
        for k in range(12):
            assert handed == k, "what was said is drawn before more is heard"
            yield cut_motion(whole, k, k + 1)

    live = []
    for windows in driven_windows(pieces(), MODEL, seen, 5, ahead=0):
        handed += 1
        live.append(windows)
    usual = list(driven_windows([whole], MODEL, seen, 5))
    assert len(live) == len(usual) == 12
    assert np.array_equal(live[6][:3], usual[6][:3]) and np.array_equal(live[6][3], live[6][2])


def test_a_blink_is_drawn_as_far_as_the_person_blinked():
    rest = np.zeros((50, MODEL.expression.shape[-1]), np.float32)
    closure = np.zeros(50, np.float32)
    closure[10] = 1
    landmarks = motion_landmarks(MODEL, rest, closure).reshape(50, 68, 3)
    assert landmarks[10, 38, 1] < -0.5 and landmarks[10, 41, 1] == landmarks[0, 41, 1]
    seen = Range.of(landmarks.reshape(50, -1))
    kept = seen.kept(landmarks.reshape(50, -1))
    assert np.allclose(kept, seen.normalised(landmarks.reshape(50, -1)), atol=1e-5)
    wild = landmarks.reshape(50, -1) * 30 + 1
    assert np.abs(seen.kept(wild)).max() < np.abs(seen.normalised(wild)).max() / 3


def test_cameras_see_the_head_where_it_was_tracked():
    rotation = transform.Rotation.from_euler("yxz", [[0, 0, 0], [20, 5, -3]], degrees=True).as_matrix()
    scale, place = np.array([60.0, 75.0]), np.array([[330.0, 200.0], [250.0, 180.0]])
    view, unit = FieldView(x=100, y=20, scale=0.5, side_px=256), centimetres(MODEL)
    focal = 700.0
    cameras = field_pose(view_cameras(rotation, scale, place, view, focal, unit))
    intrinsics = view.camera(focal)
    for number in range(2):
        # points of the head in the field: 25 cm a unit, its axes up, to the viewer, to the right
        points = MODEL.mean[[1, 33, 263, 152, 10]].astype(np.float64)
        off = (points * unit - CENTRE_CM) / 25 * (1, -1, -1)
        field = off[:, [1, 2, 0]]
        pixels = scale[number] * (points @ rotation[number].T)[:, :2] + place[number]
        seen = view.points(pixels)
        rays = pixel_rays(torch.from_numpy(cameras[number]), intrinsics)
        origin = rays.origins[0].numpy()
        direction = (field - origin) / np.linalg.norm(field - origin, axis=1, keepdims=True)
        in_camera = direction @ cameras[number][:3, :3]
        found = in_camera[:, :2] / in_camera[:, 2:] * focal + 128
        assert (in_camera[:, 2] > 0).all()
        assert np.abs(found - seen).max() < 4.5, "but for perspective"
