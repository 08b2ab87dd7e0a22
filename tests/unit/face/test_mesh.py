"""The face models in programs with threads and in forked processes; faces of any size and turn."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from faces import sample_picture, sample_points
from talkingface.face.detect import detect_faces
from talkingface.face.matte import person_matte
from talkingface.face.mesh import MIN_PRESENCE, Region, find_mesh, region_of, region_of_box
from talkingface.face.track import FaceTracker


def _follow(shift: int) -> np.ndarray:
    tracker = FaceTracker()
    found = [tracker.update(np.roll(sample_picture(), shift + 2 * k, axis=1), k / 25) for k in range(4)]
    return np.stack([points for points in found if points is not None])


def test_eight_trackers_in_eight_threads_are_one_alone() -> None:
    shifts = [3 * k for k in range(8)]
    alone = [_follow(shift) for shift in shifts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(_follow, shifts))
        list(pool.map(person_matte, [sample_picture()] * 8))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_faces_are_tracked_in_a_forked_process() -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from talkingface.core.samples import sample\n"
        "from talkingface.face.track import track_image\n"
        "from talkingface.video.image import read_image\n"
        "rgb = read_image(sample('portrait')).rgb\n"
        "before = track_image(rgb).landmarks\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if np.array_equal(track_image(rgb).landmarks, before) else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_a_face_of_another_size_has_the_same_points(scale: float) -> None:
    larger = cv2.resize(sample_picture(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mesh = find_mesh(larger, region_of(sample_points() * np.float32(scale)))
    apart = np.linalg.norm((mesh.points / scale - sample_points())[:, :2], axis=1)
    assert apart.max() < 0.05 * np.linalg.norm(sample_points()[33] - sample_points()[263])


@pytest.mark.parametrize("degrees", [-35, 35])
def test_a_turned_face_is_found_turned(degrees: int) -> None:
    rgb = sample_picture()
    centre = sample_points()[:, :2].mean(0)
    turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), -degrees, 1.0)
    turned = cv2.warpAffine(rgb, turn, (rgb.shape[1], rgb.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    region = region_of_box(detect_faces(turned)[0])
    assert np.degrees(region.turn) == pytest.approx(degrees, abs=12)
    mesh = find_mesh(turned, region_of(find_mesh(turned, region).points))
    wanted = sample_points()[:, :2] @ turn[:, :2].T + turn[:, 2]
    apart = np.linalg.norm(mesh.points[:, :2] - wanted, axis=1)
    assert np.median(apart) < 0.04 * np.linalg.norm(sample_points()[33] - sample_points()[263])


def test_where_nobody_is_nobody_is_present() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    assert find_mesh(noise, Region(100, 100, 150, 0.0)).presence < MIN_PRESENCE
