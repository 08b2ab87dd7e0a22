"""What is said about clips that cannot become an avatar, and that good ones pass."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from faces import mesh_points
from talkingface.core.errors import FaceError, InputError, SpeechError
from talkingface.core.types import Track
from talkingface.person import checks
from talkingface.person.background import BackgroundWatch
from talkingface.video.read import VideoInfo

CLIP = Path("me.mp4")


def _info(duration_s: float = 20.0, has_audio: bool = True) -> VideoInfo:
    return VideoInfo(
        size=(640, 480), fps=Fraction(25), duration_s=duration_s, num_frames=500, has_audio=has_audio, has_video=True,
        rotation_deg=0, variable_rate=False, hdr=False,
    )  # fmt: skip


def _track(shift: np.ndarray | None = None, size: float = 200.0, seen: np.ndarray | None = None) -> Track:
    points = mesh_points()
    points = (points - points.mean(0)) / np.ptp(points[:, 1]) * size + (320, 240, 0)
    shift = np.zeros((100, 2)) if shift is None else shift
    rows = np.repeat(points[None], len(shift), 0)
    rows[..., :2] += shift[:, None]
    confidence = np.ones(len(shift), np.float32) if seen is None else seen.astype(np.float32)
    return Track(
        landmarks=rows.astype(np.float32), times_s=np.arange(len(shift)) / 25, confidence=confidence, size=(640, 480)
    )


def test_a_good_clip_passes_without_a_word() -> None:
    checks.check_media(CLIP, _info(), 12)
    assert checks.check_track(CLIP, _track(), 25) == []
    checks.check_pictures(CLIP, np.full(99, 0.01), 25)
    assert checks.check_others(CLIP, [[200.0]] * 12, False) == []
    checks.check_sound(CLIP, 0.05 * np.sin(np.arange(16000) / 9))


def test_short_and_silent_clips_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(InputError, match=r"8\.0 s long; give at least 12 s"):
        checks.check_media(CLIP, _info(8.0), 12)
    with pytest.raises(SpeechError, match="no sound"):
        checks.check_media(CLIP, _info(has_audio=False), 12)
    with pytest.raises(SpeechError, match="silent"):
        checks.check_sound(CLIP, np.zeros(16000))


def test_faces_that_are_lost_small_or_outside_are_refused() -> None:
    seen = np.ones(100, bool)
    seen[40:65] = False
    with pytest.raises(FaceError, match=r"lost for 1\.0 s from 1\.6 s on"):
        checks.check_track(CLIP, _track(seen=seen), 25)
    with pytest.raises(FaceError, match="only 40 px"):
        checks.check_track(CLIP, _track(size=40), 25)
    with pytest.raises(FaceError, match="outside the picture in 100%"):
        checks.check_track(CLIP, _track(np.full((100, 2), 260.0)), 25)
    assert "closer" in checks.check_track(CLIP, _track(size=100), 25)[0]


def test_cuts_are_named_by_their_time() -> None:
    shift = np.zeros((100, 2))
    shift[50:] = (120, 0)
    with pytest.raises(FaceError, match=r"cut at 2\.0 s"):
        checks.check_track(CLIP, _track(shift), 25)
    assert checks.check_track(CLIP, _track(shift), 25, one_shot=False) == []
    changes = np.full(99, 0.01)
    changes[24] = 0.4
    with pytest.raises(InputError, match=r"cut at 1\.0 s"):
        checks.check_pictures(CLIP, changes, 25)


def test_a_quick_camera_is_no_cut() -> None:
    checks.check_pictures(CLIP, np.full(99, 0.2), 25)


def test_other_people() -> None:
    with pytest.raises(FaceError, match="several people"):
        checks.check_others(CLIP, [[200.0, 180.0]] * 12, False)
    assert checks.check_others(CLIP, [[200.0, 180.0]] * 12, True)
    assert "they are not animated" in checks.check_others(CLIP, [[200.0, 40.0]] * 12, False)[0]


def test_sound_offsets_are_corrected_when_they_are_sure_and_told_when_they_are_large() -> None:
    assert checks.offset_note(float("nan"), 0.9, 25) == (0.0, [])
    assert checks.offset_note(3.0, 0.01, 25) == (0.0, [])
    assert checks.offset_note(1.0, 0.4, 25) == (0.04, [])
    late_s, notes = checks.offset_note(-4.0, 0.4, 25)
    assert late_s == pytest.approx(-0.16) and "160 ms early" in notes[0]


def test_a_head_that_hardly_turns_gets_a_note() -> None:
    def turned(most_deg: float) -> np.ndarray:
        yaw = np.radians(np.linspace(-most_deg, most_deg, 100))
        return Rotation.from_rotvec(np.column_stack([0 * yaw, yaw, 0 * yaw])).as_matrix()

    assert checks.turning_note(turned(12)) == []
    assert "turns by 6 degrees only" in checks.turning_note(turned(3))[0]


def _watch(shift_px: float) -> float:
    """The drift of a background that wanders by `shift_px` behind a face that is 200 px high and stands still."""
    room = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (600, 900, 3), np.uint8), (0, 0), 4)
    room = cv2.normalize(room, room, 0, 255, cv2.NORM_MINMAX)
    points, watch = _track().landmarks[0], BackgroundWatch()
    for step in range(8):
        x = round(shift_px * step / 7)
        picture = np.ascontiguousarray(room[60:540, x : x + 640])
        cv2.ellipse(picture, (320, 240), (80, 100), 0, 0, 360, (200, 150, 120), -1)
        watch.look(picture, points)
    return watch.drift


def test_a_camera_that_moves_is_seen_behind_the_face() -> None:
    assert _watch(0) < 0.01 and checks.check_background(CLIP, _watch(0), True) == []
    assert _watch(100) == pytest.approx(0.5, abs=0.05)
    assert "background moves" in checks.check_background(CLIP, _watch(100), False)[0]
    with pytest.raises(InputError, match=r"the camera of me\.mp4 moves: .* by 0\.5 heights"):
        checks.check_background(CLIP, _watch(100), True)


def test_a_plain_wall_stands_still() -> None:
    watch = BackgroundWatch()
    for grey in (100, 120, 140):
        watch.look(np.full((480, 640, 3), grey, np.uint8), _track().landmarks[0])
    assert watch.drift == 0
