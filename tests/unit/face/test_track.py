from __future__ import annotations

import numpy as np
import pytest

from faces import sample_picture, sample_points
from talkingface.core.errors import FaceError
from talkingface.face.detect import FaceBox
from talkingface.face.track import choose_face, fill_gaps, track_frames, track_image


def test_points_lie_on_the_face_and_depth_has_its_sign():
    points = sample_points()
    assert points.shape == (478, 3) and points.dtype == np.float32
    assert points[33, 0] < points[1, 0] < points[263, 0], "the person's right eye is on the left"
    assert points[10, 1] < points[1, 1] < points[152, 1], "forehead above nose above chin"
    assert points[1, 2] < points[[234, 454], 2].min(), "depth grows away from the viewer"


def test_a_picture_without_a_face_is_refused():
    with pytest.raises(FaceError, match="no face found"):
        track_image(np.full((200, 200, 3), 90, np.uint8))


def test_a_face_that_is_not_there_is_refused():
    with pytest.raises(FaceError, match="--face-index 3.*1 found"):
        track_image(sample_picture(), face_index=3)


def test_a_cut_off_face_is_refused():
    points = sample_points()
    middle = int(points[:, 0].mean())
    with pytest.raises(FaceError):
        track_image(np.ascontiguousarray(sample_picture()[:, middle:]))


def test_faces_are_counted_from_the_left():
    places = ((50, 90), (10, 60), (200, 40))
    boxes = [FaceBox(x0=x, y0=0, x1=x + side, y1=side, turn_rad=0.0, score=1) for x, side in places]
    assert choose_face(boxes, None) is boxes[0]
    assert [choose_face(boxes, k).x0 for k in range(3)] == [10, 50, 200]


def test_gaps_are_bridged_evenly():
    first, last = np.zeros((478, 3), np.float32), np.full((478, 3), 4, np.float32)
    track = fill_gaps([None, first, None, None, None, last, None], np.arange(7) / 25, (64, 48))
    assert track.landmarks[:, 0, 0].tolist() == [0, 0, 1, 2, 3, 4, 4]
    assert track.confidence.tolist() == [0, 1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("found", [[], [None] * 5, [np.zeros((478, 3), np.float32)] + [None] * 20])
def test_too_few_sightings_are_refused(found):
    with pytest.raises(FaceError, match="seen in only"):
        fill_gaps(found, np.arange(len(found)) / 25, (64, 48))


def test_the_points_follow_a_moving_face_over_a_missing_frame():
    picture = sample_picture()
    shifts = [0, 3, 6, 9, 12, 15]
    frames = [np.roll(picture, shift, axis=1) for shift in shifts]
    frames[3] = np.zeros_like(picture)
    track = track_frames((rgb, k / 25) for k, rgb in enumerate(frames))
    assert track.confidence.tolist() == [1, 1, 1, 0, 1, 1]
    moved = track.landmarks[:, :, 0].mean(1) - track.landmarks[0, :, 0].mean()
    assert moved == pytest.approx(shifts, abs=2.0)
    assert track.size == (picture.shape[1], picture.shape[0])
