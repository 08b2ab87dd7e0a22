from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from talkingface.core.cache import cache_dir
from talkingface.core.types import Track
from talkingface.face import track_cache


@pytest.fixture
def tracked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces the tracker; counts how often it ran."""
    runs: list[int] = []

    def fake(frames: Iterator[tuple[np.ndarray, float]], face_index: int | None) -> Track:
        times = np.array([time_s for _, time_s in frames])
        runs.append(len(times))
        return Track(
            landmarks=np.full((len(times), 478, 3), len(runs), np.float32),
            times_s=times,
            confidence=np.ones(len(times), np.float32),
            size=(64, 48),
        )

    monkeypatch.setattr(track_cache, "track_frames", fake)
    return runs


def frames() -> Iterator[tuple[np.ndarray, float]]:
    for k in range(3):
        yield np.zeros((48, 64, 3), np.uint8), k / 25


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "a clip.mp4"
    path.write_bytes(np.random.default_rng().bytes(100))  # another clip in every test
    return path


def test_a_clip_is_followed_once(clip, tracked):
    first = track_cache.cached_track(clip, frames(), "25fps")
    again = track_cache.cached_track(clip, frames(), "25fps")
    assert tracked == [3]
    assert again.size == (64, 48)
    assert np.array_equal(first.landmarks, again.landmarks) and np.array_equal(first.times_s, again.times_s)


def test_other_content_label_or_face_is_another_track(clip, tracked):
    track_cache.cached_track(clip, frames(), "25fps")
    track_cache.cached_track(clip, frames(), "30fps")
    track_cache.cached_track(clip, frames(), "25fps", face_index=1)
    clip.write_bytes(b"something else")
    track_cache.cached_track(clip, frames(), "25fps")
    assert len(tracked) == 4


@pytest.mark.parametrize("damage", [b"", b"no zip", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_made_again(clip, tracked, damage):
    before = set((cache_dir() / "tracks").glob("*"))
    track_cache.cached_track(clip, frames(), "25fps")
    (stored,) = set((cache_dir() / "tracks").glob("*")) - before
    stored.write_bytes(damage)
    assert len(track_cache.cached_track(clip, frames(), "25fps")) == 3
    assert len(tracked) == 2
    track_cache.cached_track(clip, frames(), "25fps")
    assert len(tracked) == 2, "the mended file is used"


def test_a_hostile_file_is_not_unpickled(clip, tracked, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    before = set((cache_dir() / "tracks").glob("*"))
    track_cache.cached_track(clip, frames(), "25fps")
    (stored,) = set((cache_dir() / "tracks").glob("*")) - before
    np.savez(stored, landmarks=np.array([Evil()], object), times_s=np.zeros(1), confidence=np.ones(1), size=[1, 1])
    assert len(track_cache.cached_track(clip, frames(), "25fps")) == 3
    assert not (tmp_path / "owned").exists()
