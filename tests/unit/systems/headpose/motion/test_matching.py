from __future__ import annotations

import numpy as np
import pytest

from talkingface.systems.headpose.motion.matching import (
    JOURNAL,
    MatchSettings,
    key_frames,
    make_records,
    match_background,
    ping_pong,
    smooth,
)


def swing(count: int, period: float, size: float = 0.2) -> np.ndarray:
    t = np.arange(count)
    return size * np.stack([np.sin(t / 9), np.cos(t / 7), np.sin(2 * np.pi * t / period)], 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 8])
def test_short_speech_works(count):
    matched = match_background(swing(count, 5), swing(50, 20))
    assert matched.source.shape == (count,) and matched.keys[0] == 0 and matched.keys[-1] == count - 1
    assert matched.source.min() >= 0 and matched.source.max() < 50


def test_one_frame_of_video_is_enough():
    assert match_background(swing(40, 10), swing(1, 10)).source.tolist() == [0] * 40


@pytest.mark.parametrize(("predicted", "real"), [(0, 5), (5, 0)])
def test_no_frames_are_refused(predicted, real):
    with pytest.raises(ValueError, match="no frames"):
        match_background(np.zeros((predicted, 3)), np.zeros((real, 3)))
    with pytest.raises(ValueError, match="speed"):
        MatchSettings(speed=0)


def test_smoothing_keeps_constants_and_mirrors():
    assert np.allclose(smooth(np.full(12, 3.0)), 3)
    assert np.allclose(smooth(np.arange(20.0))[3:-3], np.arange(3, 17))


def test_key_frames_are_few_and_at_turning_points():
    angles = swing(300, 40)
    keys = key_frames(angles, MatchSettings())
    assert len(keys) <= 32 and keys[0] == 0 and keys[-1] == 299
    assert all(min((key - 10) % 20, -(key - 10) % 20) <= 1 for key in keys[1:-1])


def test_close_key_frames_lose_the_smaller_turn():
    angles = np.zeros((60, 3))
    angles[:, 2] = np.sin(np.arange(60) * 2 * np.pi / 5)
    angles[:, 0] = np.linspace(0, 5, 60)  # later turns are larger
    every = key_frames(angles, MatchSettings(keys_share=1.0, min_gap=0))
    kept = key_frames(angles, MatchSettings(keys_share=1.0, min_gap=3))
    assert np.diff(every[1:-1]).min() < 3 <= np.diff(kept[1:-1]).min()


def test_the_video_is_never_run_faster_than_allowed():
    rng = np.random.default_rng(0)
    predicted, real = rng.normal(0, 0.2, (200, 3)).cumsum(0) * 0.1, swing(120, 33)
    for speed in (1, 2):
        matched = match_background(predicted, real, MatchSettings(speed=speed))
        assert np.all(np.abs(np.diff(matched.key_source)) <= speed * np.diff(matched.keys))


def test_relative_matching_follows_changes_not_places():
    """A prediction that is off by a constant finds the same frames, once the first is given."""
    real = swing(200, 50)
    predicted = real[:120].copy()
    exact = match_background(predicted, real, JOURNAL)
    assert np.abs(real[exact.source] - predicted).max() < 0.1
    offset = np.array([0.0, 0.0, 0.05])
    moved = match_background(predicted + offset, real, JOURNAL)
    changes = real[moved.key_source] - real[moved.key_source[0]]
    assert np.abs(changes - (predicted[moved.keys] - predicted[0])).max() < 0.1


def test_ping_pong_repeats_both_ends():
    assert ping_pong(9, 3).tolist() == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    assert ping_pong(3, 1).tolist() == [0, 0, 0] and ping_pong(0, 4).tolist() == []
    with pytest.raises(ValueError, match="no frames"):
        ping_pong(3, 0)


def test_records():
    real, shift = np.arange(12.0).reshape(2, 6), np.array([[1.0, 2], [3, 4]])
    records = make_records(np.zeros((3, 5)), real, shift, np.array([1, 0, 1]))
    assert records.shape == (3, 14)
    assert records[0, 5:].tolist() == [6, 7, 8, 9, 10, 11, 3, 4, 1]
