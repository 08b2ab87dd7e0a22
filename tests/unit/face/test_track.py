from __future__ import annotations

import cv2
import numpy as np
import pytest

from faces import mesh_points, sample_picture, sample_points
from talkingface.core.errors import FaceError
from talkingface.core.types import Track
from talkingface.face.detect import FaceBox
from talkingface.face.track import choose_face, fill_gaps, smooth_spans, track_frames, track_image


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
    first, last = mesh_points(), mesh_points(centre=(132.0, 120.0))
    track = fill_gaps([None, first, None, None, None, last, None], np.arange(7) / 25, (256, 256))
    assert (track.landmarks[:, 0, 0] - first[0, 0]).tolist() == pytest.approx([0, 0, 1, 2, 3, 4, 4], abs=1e-4)
    assert track.confidence.tolist() == [0, 1, 0, 0, 0, 1, 0]
    assert track.spans == ((1, 6),), "at the ends nobody knows whether the face is there"


def test_long_gaps_cuts_and_jumps_end_a_span():
    near, far, large = mesh_points(), mesh_points(centre=(200.0, 120.0)), mesh_points(unit=80)
    found = [near] * 5 + [None] * 11 + [near] * 4 + [far] * 4 + [None] + [far] * 3 + [large] * 4 + [None] * 4 + [near]
    track = fill_gaps(found, np.arange(len(found)) / 25, (300, 256), cuts=[2, 33])
    assert track.spans == ((0, 2), (2, 5), (16, 20), (20, 28), (28, 32))[1:], "two frames are no span"
    assert not track.present[5:16].any() and track.present[24] and track.confidence[24] == 0
    assert track.confidence[[0, 1, 36]].tolist() == [0, 0, 0]


def test_smoothing_ends_where_a_span_ends():
    rows = np.repeat([[0.0], [1.0]], 6, axis=0)
    assert np.array_equal(smooth_spans(rows, ((0, 6), (6, 12)), 1.0), rows)
    assert 0 < smooth_spans(rows, ((0, 12),), 1.0)[5, 0] < 1
    assert np.array_equal(smooth_spans(rows, ((0, 4),), 1.0), rows)


@pytest.mark.parametrize("found", [[], [None] * 5, [np.zeros((478, 3), np.float32)] + [None] * 20])
def test_too_few_sightings_are_refused(found):
    with pytest.raises(FaceError, match="seen in only"):
        fill_gaps(found, np.arange(len(found)) / 25, (64, 48))


def card(shape: tuple[int, ...]) -> np.ndarray:
    picture = np.full(shape, (120, 30, 30), np.uint8)
    cv2.putText(picture, "PART 2", (60, 200), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 5)
    return picture


def somebody_else() -> np.ndarray:
    """The other way round, blue and in another light."""
    mirrored = sample_picture()[:, ::-1, ::-1]
    return np.clip(255 - 0.5 * (255.0 - mirrored), 0, 255).astype(np.uint8)


def follow(frames: list[np.ndarray]) -> Track:
    return track_frames((rgb, k / 25) for k, rgb in enumerate(frames))


def test_the_points_follow_a_moving_face_over_a_missing_frame():
    picture = sample_picture()
    shifts = [0, 3, 6, 9, 12, 15]
    frames = [np.roll(picture, shift, axis=1) for shift in shifts]
    hidden = frames[3][90:270, 90:270]
    frames[3][90:270, 90:270] = cv2.resize(cv2.resize(hidden, (5, 5), interpolation=cv2.INTER_AREA), (180, 180))
    track = follow(frames)
    assert track.confidence.tolist() == [1, 1, 1, 0, 1, 1] and track.spans == ((0, 6),)
    moved = track.landmarks[:, :, 0].mean(1) - track.landmarks[0, :, 0].mean()
    assert moved == pytest.approx(shifts, abs=2.0)
    assert track.size == (picture.shape[1], picture.shape[0])


def test_a_title_card_is_no_gap_to_bridge():
    picture = sample_picture()
    track = follow([picture] * 4 + [card(picture.shape)] * 6 + [np.roll(picture, 40, axis=1)] * 4)
    assert track.spans == ((0, 4), (10, 14))
    assert track.confidence.tolist() == [1] * 4 + [0] * 6 + [1] * 4


def test_a_clip_may_begin_and_end_without_its_face():
    picture = sample_picture()
    track = follow([card(picture.shape)] * 12 + [picture] * 5 + [np.zeros_like(picture)] * 3)
    assert track.spans == ((12, 17),)


def test_after_a_cut_the_same_person_is_followed():
    picture, other = sample_picture(), somebody_else()
    track = follow([picture] * 4 + [other] * 8 + [np.roll(picture, 10, axis=0)] * 4)
    assert track.spans == ((0, 4), (12, 16))
    side = np.full_like(picture, 90)
    both = np.concatenate([other, picture], axis=1)
    alone = np.concatenate([picture, side], axis=1)
    track = follow([alone] * 4 + [both] * 4)
    assert track.spans == ((0, 4), (4, 8))
    assert track.landmarks[5, :, 0].min() > picture.shape[1], "the one to follow is on the right now"


def test_another_shot_of_the_same_person_is_another_span():
    picture = sample_picture()
    nearer = cv2.resize(picture, None, fx=1.5, fy=1.5)[30:390, 80:440]
    track = follow([picture] * 4 + [nearer] * 4)
    assert track.spans == ((0, 4), (4, 8)) and (track.confidence == 1).all()
