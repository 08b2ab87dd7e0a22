"""Landmark distances of faces that were moved by known amounts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talkingface.face.pose import STABLE_POINTS
from talkingface.face.topology import LIPS
from talkingface.metrics.landmarks import (
    FACE_68,
    MOUTH_20,
    identity_drift,
    lmd_256,
    lmd_aligned,
    lmd_face_512,
    lmd_mouth_512,
    lve,
    rigid_motion,
)

SIZE = (1024, 1024)
EYES_PX = 120.0


def face(frames: int = 6) -> np.ndarray:
    """One shape [frames, 478, 3] in pixels, at rest, outer eye corners 120 px apart."""
    points = np.random.default_rng(0).normal((500, 500, 0), (80, 90, 30), (478, 3))
    points[33], points[263] = (440, 450, 0), (560, 450, 0)
    return np.repeat(points[None], frames, 0)


def turned(points: np.ndarray, degrees: tuple[float, float, float], scale: float, shift: float) -> np.ndarray:
    return scale * points @ Rotation.from_euler("yxz", degrees, degrees=True).as_matrix().T + shift


PUBLISHED: dict[str, Callable[..., tuple[float, np.ndarray]]] = {
    "mouth": lmd_mouth_512,
    "face": lmd_face_512,
    "crop": lmd_256,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_identical_tracks_have_no_distance(name: str) -> None:
    value, per_frame = PUBLISHED[name](face(), face(), SIZE, SIZE)
    assert value == 0 and per_frame.shape == (6,)


def test_68_points_are_all_different_but_for_the_inner_corners() -> None:
    assert len(FACE_68) == 68 and len(MOUTH_20) == 20
    assert set(MOUTH_20) <= set(LIPS)
    assert {33, 133, 263, 362, 61, 291, 152} <= set(FACE_68)


def test_shift_is_removed_by_mean_but_not_in_the_crop() -> None:
    moved = face() + (8, 6, 0)
    assert lmd_mouth_512(moved, face(), SIZE, SIZE)[0] == pytest.approx(0, abs=1e-9)
    span = np.ptp(face()[0, :, :2], axis=0).max()
    assert lmd_256(moved, face(), SIZE, SIZE)[0] == pytest.approx(10 * 256 / (1.3 * span))


def test_distance_is_in_pixels_at_512() -> None:
    # every other mouth point 8 px to the right: means differ by 4, so each is off by 4 of 1024, 2 of 512
    generated = face()
    generated[:, MOUTH_20[::2], 0] += 8
    assert lmd_mouth_512(generated, face(), SIZE, SIZE)[0] == pytest.approx(2)
    # all 20 of 68 points 8 px to the right: off by 8 - 8 * 20 / 68 or by 8 * 20 / 68
    generated = face()
    generated[:, MOUTH_20, 0] += 8
    mean = 8 * 20 / 68
    assert lmd_face_512(generated, face(), SIZE, SIZE)[0] == pytest.approx((20 * (8 - mean) + 48 * mean) / 68 / 2)


def test_pictures_of_other_sizes_are_brought_to_one() -> None:
    small = face() / 2
    for measure in PUBLISHED.values():
        assert measure(small, face(), (512, 512), SIZE)[0] == pytest.approx(0, abs=1e-9)


def test_per_frame_values_belong_to_their_frames() -> None:
    generated = face()
    generated[2, MOUTH_20[::2], 1] += 8
    value, per_frame = lmd_mouth_512(generated, face(), SIZE, SIZE)
    np.testing.assert_allclose(per_frame, [0, 0, 2, 0, 0, 0], atol=1e-9)
    assert value == pytest.approx(2 / 6)


def test_alignment_removes_pose_but_keeps_the_mouth() -> None:
    lips = [point for point in LIPS if point not in STABLE_POINTS]
    assert len(lips) == len(LIPS) == 40
    generated = face()
    generated[:, lips[:10], 1] += 12  # a tenth of the eyes' distance, a quarter of the lips
    generated[:, lips[0], 1] += 12
    posed = turned(generated, (25, -10, 15), 1.7, 30)
    for points in (generated, posed):
        assert lmd_aligned(points, face())[0] == pytest.approx((9 * 0.1 + 0.2) / 40)
        assert lve(points, face())[0] == pytest.approx(0.2)
    assert lmd_aligned(turned(face(), (25, -10, 15), 1.7, 30), face())[0] == pytest.approx(0, abs=1e-9)


def test_tracks_must_have_one_shape_and_some_frame() -> None:
    with pytest.raises(ValueError, match="cannot compare tracks"):
        lmd_aligned(face(5), face(6))
    with pytest.raises(ValueError, match="cannot compare tracks"):
        lmd_mouth_512(face(0), face(0), SIZE, SIZE)


def test_rigid_motion_finds_the_turns() -> None:
    still = face(5)
    points = np.stack([turned(frame, (4.0 * k, 0, 0), 1 + 0.1 * k, 9 * k) for k, frame in enumerate(still)])
    (rotation, scale, _), eyes = rigid_motion(points)
    between = Rotation.from_matrix(rotation[1:]) * Rotation.from_matrix(rotation[:-1]).inv()
    np.testing.assert_allclose(np.degrees(between.magnitude()), 4, atol=1e-6)
    np.testing.assert_allclose(scale / scale[0], 1 + 0.1 * np.arange(5))
    assert eyes * scale[0] == pytest.approx(EYES_PX)


def test_identity_drift_of_a_face_that_changes_halfway() -> None:
    points = face(200)
    lips = list(LIPS)
    points[100:, lips, 2] += 0.1 * EYES_PX
    points = np.stack([turned(frame, (k / 10, 0, 3), 1, k / 5) for k, frame in enumerate(points)])
    value, per_frame = identity_drift(points, 25.0)
    expected = 0.1 * np.sqrt(40 / 468)
    assert per_frame.shape == (200,)
    np.testing.assert_allclose(per_frame[:100], 0, atol=1e-6)
    np.testing.assert_allclose(per_frame[100:], expected, rtol=1e-6)
    assert value == pytest.approx(expected * 2 / 3)  # of the three later windows one is still as it was


def test_speech_is_no_drift_and_one_window_cannot_tell() -> None:
    points = face(100)
    lower = [14, 87, 317, 178, 402]
    upper = [13, 82, 312, 81, 311]
    points[:, lower] = points[:, upper]
    points[:, lower, 1] += 15 * np.maximum(np.sin(np.arange(100)), 0)[:, None]
    assert identity_drift(points, 25.0)[0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(identity_drift(points[:60], 25.0)[0])
