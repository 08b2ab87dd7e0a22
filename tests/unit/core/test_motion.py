"""Motion: other clocks, other poses, files."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkingface.core import motion as motions
from talkingface.core.errors import UsageError
from talkingface.core.types import Motion


def _motion(length: int, fps: float = 25.0, start: int = 0) -> Motion:
    rows = np.arange(start, start + length, dtype=np.float32)[:, None]
    pose = np.repeat(rows, 6, 1)
    return Motion(space="test", expression=rows, pose=pose, blink=(rows % 2), source=2 * rows, fps=fps, start=start)


def _pieces(length: int, cuts: list[int], fps: float = 25.0) -> list[Motion]:
    edges = [0, *sorted({min(max(cut, 1), length - 1) for cut in cuts}), length]
    return [_motion(end - begin, fps, begin) for begin, end in itertools.pairwise(edges) if end > begin]


@given(
    length=st.integers(2, 50), cuts=st.lists(st.integers(1, 49), max_size=5),
    fps=st.sampled_from([24, 25, 29.97, 30, 60, 12.5])
)  # fmt: skip
def test_resampling_keeps_time_for_any_split(length: int, cuts: list[int], fps: float) -> None:
    whole = motions.concatenate(motions.resample_motion([_motion(length)], fps))
    split = motions.concatenate(motions.resample_motion(_pieces(length, cuts), fps))
    np.testing.assert_array_equal(split.expression, whole.expression)
    np.testing.assert_array_equal(split.pose, whole.pose)
    assert abs(len(whole) / fps - length / 25) <= 1 / fps + 1e-6
    times = np.arange(len(whole)) / motions.as_rate(fps)
    expected = np.minimum(np.array([float(time * 25) for time in times]), length - 1)
    np.testing.assert_allclose(whole.expression[:, 0], expected, atol=1e-4)


def test_resampled_pieces_follow_each_other() -> None:
    at = 0
    for piece in motions.resample_motion(_pieces(40, [3, 4, 20]), 60):
        assert piece.start == at and piece.fps == 60
        at += len(piece)
    assert at == 96


def test_skip_and_limit() -> None:
    pieces = _pieces(20, [7, 13])
    skipped = list(motions.skip_frames(pieces, 9))
    assert skipped[0].start == 9
    np.testing.assert_array_equal(motions.concatenate(skipped).expression[:, 0], np.arange(9, 20))
    assert len(motions.concatenate(motions.limit_frames(pieces, 9))) == 9
    assert list(motions.limit_frames(pieces, 0)) == []


@given(length=st.integers(1, 50), cuts=st.lists(st.integers(1, 49), max_size=5), size=st.integers(1, 9))
def test_batches_lie_on_multiples_whatever_the_split(length: int, cuts: list[int], size: int) -> None:
    pieces = _pieces(length, cuts) if length > 1 else [_motion(1)]
    found = list(motions.batches(pieces, size))
    assert [start for start, _ in found] == list(range(0, length, size))
    assert all(len(rows) == min(size, length - start) for start, rows in found)
    np.testing.assert_array_equal(np.concatenate([rows.expression[:, 0] for _, rows in found]), np.arange(length))


def test_batches_of_a_stream_that_begins_later_keep_to_the_multiples() -> None:
    rest = motions.skip_frames([_motion(20)], 5)
    assert [(start, len(rows)) for start, rows in motions.batches(rest, 4)] == [(5, 3), (8, 4), (12, 4), (16, 4)]


def test_batches_of_motion_without_pose_and_blink() -> None:
    bare = Motion(space="test", expression=np.zeros((3, 2), np.float32), pose=None, blink=None, fps=25)
    ((start, rows),) = motions.batches([bare], 8)
    assert (start, len(rows), rows.pose, rows.blink, rows.source) == (0, 3, None, None, None)


def test_the_clips_frame_travels_with_the_motion_until_the_pose_is_replaced() -> None:
    twice = motions.concatenate(motions.resample_motion(_pieces(10, [4]), 50))
    np.testing.assert_allclose(twice.source, 2 * twice.expression)
    still = motions.concatenate(motions.replace_pose(_pieces(5, [2]), None))
    assert still.source is None


def test_ping_pong() -> None:
    assert motions.ping_pong(np.arange(9), 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert motions.ping_pong(np.arange(3), 1).tolist() == [0, 0, 0]


def test_poses_are_replaced() -> None:
    pose = np.arange(12, dtype=np.float32).reshape(2, 6)
    found = motions.concatenate(motions.replace_pose(_pieces(5, [2]), pose))
    assert found.pose is not None and found.pose[:, 0].tolist() == [0, 6, 0, 6, 0]
    still = motions.concatenate(motions.replace_pose(_pieces(5, [2]), None))
    assert still.pose is not None and not still.pose.any()
    with pytest.raises(UsageError, match="3 columns"):
        list(motions.replace_pose([_motion(2)], np.zeros((2, 3), np.float32)))


def test_spaces_are_not_mixed() -> None:
    with pytest.raises(UsageError, match="no motion"):
        motions.concatenate([])


def test_file_round_trip_and_edit(tmp_path: Path) -> None:
    motion = _motion(7, 29.97)
    motions.save_motion(tmp_path / "m.npz", motion)
    found = motions.load_motion(tmp_path / "m.npz")
    np.testing.assert_array_equal(found.expression, motion.expression)
    assert (found.space, found.fps) == ("test", 29.97)
    with np.load(tmp_path / "m.npz") as archive:
        arrays = dict(archive)
    arrays["expression"] = arrays["expression"].astype(np.float64) * 2
    del arrays["blink"]
    np.savez_compressed(tmp_path / "edited.npz", **arrays)
    edited = motions.load_motion(tmp_path / "edited.npz")
    assert edited.blink is None and edited.expression[3, 0] == 6 and edited.expression.dtype == np.float32
