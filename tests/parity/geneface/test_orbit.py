"""The camera of the published viewer."""

from __future__ import annotations

import re

import numpy as np

from parity.fixtures import load_fixture
from parity.geneface.inputs import numbers, stated_camera
from talkingface.systems.geneface.official.orbit import OrbitCamera


def test_orbit_camera():
    fixture = load_fixture("geneface", "gui_orbit_camera")
    notes = fixture.facts["notes"]
    width, height = (int(2 * centre) for centre in fixture.stored("initial_intrinsics")[2:])
    camera = OrbitCamera(width=width, height=height)
    fixture.assert_close("initial_pose", camera.pose, 1e-6)
    fixture.assert_close("initial_intrinsics", camera.intrinsics, 1e-6)
    for number, drag in enumerate(fixture.array("drags")):
        camera.orbit(*map(float, drag))
        fixture.assert_close(f"pose_after_orbit{number}", camera.pose, 1e-5)
    camera.zoom(float(re.search(r"scale\((\d+)\)", notes)[1]))  # type: ignore[index]
    camera.pan(*(float(part) for part in re.search(r"pan\(([-\d]+), ([-\d]+)\)", notes).groups()))  # type: ignore[union-attr]
    fixture.assert_close("pose_after_scale2_pan", camera.pose, 1e-5)

    taken = OrbitCamera(width=width, height=height)
    intrinsics = np.array(numbers("intrinsics", notes))
    taken.take_over(stated_camera(fixture.array("euler"), notes), intrinsics)
    fixture.assert_close("synced_pose", taken.pose, 1e-5)
    fixture.assert_close("synced_fovy", np.array([taken.fov_y]), 1e-6)
    fixture.assert_close("synced_intrinsics", taken.intrinsics, 1e-6)
