"""Clips are followed once, and what was said about them is said again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clips import sway, write_face_video
from talkingface.clips import tracked
from talkingface.clips.tracked import best_frame, load_track, save_track, track_clip
from talkingface.core.cache import cache_dir
from talkingface.core.errors import InputError, TalkingFaceWarning
from talkingface.core.types import Track
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter

FRAMES = 12


def some_track(count: int = 3, value: float = 1.0) -> Track:
    return Track(
        landmarks=np.full((count, 478, 3), value, np.float32),
        times_s=np.arange(count) / 25,
        confidence=np.ones(count, np.float32),
        size=(64, 48),
    )


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Puts a quick tracker in place of the real one; the frames of each run are counted in the list."""
    found: list[int] = []

    def fake(frames: Iterator[tuple[np.ndarray, float]], face_index: int | None) -> Track:
        found.append(len(list(frames)))
        return some_track(found[-1], len(found))

    monkeypatch.setattr(tracked, "track_frames", fake)
    return found


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Pictures that differ in every test, so that no test finds another one's track."""
    path = tmp_path / "a clip.mp4"
    rng = np.random.default_rng()
    with VideoWriter(path, (64, 48), 25, sound=None, synthetic=None) as writer:
        for _ in range(FRAMES):
            writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    return path


def stored() -> set[Path]:
    return set((cache_dir() / "tracks").glob("*"))


def test_a_clip_is_followed_once(clip, runs):
    first, again = track_clip(clip), track_clip(clip)
    assert runs == [FRAMES]
    assert again.track.size == (64, 48) and len(again.track) == FRAMES
    assert np.array_equal(first.track.landmarks, again.track.landmarks)
    assert np.array_equal(first.track.times_s, again.track.times_s)
    assert sum(1 for _ in again.frames()) == FRAMES


def test_another_rate_size_end_or_face_is_another_track(clip, runs):
    track_clip(clip)
    track_clip(clip, fps=50)
    track_clip(clip, longest_px=32)
    track_clip(clip, end_s=0.2)
    track_clip(clip, face_index=1)
    track_clip(clip, cached=False)
    assert runs == [FRAMES, 2 * FRAMES, FRAMES, 5, FRAMES, FRAMES]


def test_what_was_lost_is_said_of_a_cached_track_too(tmp_path, runs):
    path, rng = tmp_path / "damaged.mkv", np.random.default_rng()
    with VideoWriter(path, (64, 48), 25) as writer:
        for _ in range(60):
            writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    data = bytearray(path.read_bytes())
    middle, hole = len(data) // 2, len(data) // 10
    data[middle : middle + hole] = bytes(hole)
    path.write_bytes(data)
    first, again = track_clip(path), track_clip(path)
    assert len(runs) == 1 and first.notes and first.notes == again.notes


@pytest.mark.parametrize("damage", [b"", b"no zip", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_made_again(clip, runs, damage):
    before = stored()
    track_clip(clip)
    (file,) = stored() - before
    file.write_bytes(damage)
    assert len(track_clip(clip).track) == FRAMES
    assert len(runs) == 2
    track_clip(clip)
    assert len(runs) == 2, "the mended file is used"


def test_a_hostile_file_is_not_unpickled(clip, runs, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    before = stored()
    track_clip(clip)
    (file,) = stored() - before
    np.savez(file, landmarks=np.array([Evil()], object), times_s=np.zeros(1), confidence=np.ones(1), size=[1, 1])
    assert len(track_clip(clip).track) == FRAMES
    assert not (tmp_path / "owned").exists()


def test_no_cache_is_no_obstacle(clip, runs, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "file"))
    with pytest.warns(TalkingFaceWarning, match="the cache cannot be used"):
        assert len(track_clip(clip).track) == FRAMES


def test_track_files_hold_what_was_saved(tmp_path):
    track = dataclasses.replace(some_track(4, 2.5), spans=((0, 1), (2, 4)))
    save_track(tmp_path / "t.npz", track, notes=("a note",), samples=np.arange(3))
    again = load_track(tmp_path / "t.npz")
    assert np.array_equal(again.landmarks, track.landmarks) and np.array_equal(again.times_s, track.times_s)
    assert again.size == track.size and again.spans == track.spans
    assert np.array_equal(again.confidence, track.confidence)
    (tmp_path / "t.npz").write_bytes(b"no track")
    with pytest.raises(InputError, match="not a readable track file"):
        load_track(tmp_path / "t.npz")


def test_the_best_frame_shows_the_face(clip, runs):
    followed = track_clip(clip)
    track = followed.track
    track.confidence[3] = 0
    rgb, landmarks = best_frame(followed, np.where(np.isin(np.arange(FRAMES), (3, 5)), 0.0, 1.0))
    pictures = list(followed.frames())
    assert np.array_equal(rgb, pictures[5]) and np.array_equal(landmarks, track.landmarks[5])
    (note,) = followed.gap_notes(bridged="they are red")
    assert note == f"the face was not seen in 1 of {FRAMES} frames; they are red"


def test_the_notes_say_when_the_face_is_not_there(clip, runs):
    followed = track_clip(clip)

    def notes(*spans: tuple[int, int], **said: str) -> list[str]:
        return dataclasses.replace(followed, track=dataclasses.replace(followed.track, spans=spans)).gap_notes(**said)

    (note,) = notes((2, 5), (5, 7), (10, FRAMES))
    assert note == "the face is not visible from 0.0 to 0.1 s, 0.3 to 0.4 s; these pictures stay unchanged"
    (note,) = notes(*((k, k + 1) for k in range(1, FRAMES, 2)), absent="they are left out")
    assert "and 2 more times; they are left out" in note


@pytest.mark.parametrize("turns", [1, 2])
def test_a_clip_that_lies_on_its_side_is_turned(tmp_path, turns):
    upright = [frame.rgb for frame in read_frames(write_face_video(tmp_path / "face.mp4", sway(4), size=(200, 240)))]
    path = tmp_path / "turned.mp4"
    height, width = np.rot90(upright[0], -turns).shape[:2]
    with VideoWriter(path, (width, height), 25) as writer:
        for rgb in upright:
            writer.write(np.ascontiguousarray(np.rot90(rgb, -turns)))
    first, again = (track_clip(path, upright=True) for _ in range(2))
    for followed in (first, again):
        assert followed.turns == turns and followed.track.size == (200, 240)
        assert len(followed.notes) == 1 and followed.notes[0].endswith("it is turned upright")
        assert np.abs(next(followed.frames()).astype(int) - upright[0]).mean() < 4
    assert track_clip(tmp_path / "face.mp4", upright=True).turns == 0
