"""Which frames teach and which are held back; cutting heads; what is kept of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faces import sample_picture, sample_points
from talkingface.core.types import Track
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.systems.headpose.compact.data import crop_heads, load_crops, save_crops
from talkingface.systems.headpose.compositing.composite import VIEW_SIDE
from talkingface.systems.headpose.fit.preprocess import splits


def test_the_papers_split() -> None:
    train, test = splits(607, 300, 100, 300)
    assert train.sum() == 300 and train[:300].all()
    assert test.sum() == 100 and test[300:400].all()


def test_everything_else_teaches_but_the_neighbours_of_what_is_held_back() -> None:
    train, test = splits(607, 300, 100, None)
    assert not (train & test).any() and train.sum() == 607 - 100 - 24
    assert not train[288:412].any()


@pytest.mark.parametrize("length", [100, 320, 399])
def test_short_clips_hold_back_their_end(length: int) -> None:
    train, test = splits(length, 300, 100, None)
    assert test.sum() == min(100, length // 4) and test[-1]
    assert train.sum() >= length // 2


def test_heads_are_cut_at_one_scale_and_come_back_from_the_file(tmp_path: Path) -> None:
    picture, points = sample_picture(), sample_points()
    count = 5
    shifts = np.column_stack([np.arange(count) * 3.0, np.arange(count) * -2.0])
    rows = np.repeat(points[None], count, 0)
    rows[..., :2] += shifts[:, None]
    track = Track(
        landmarks=rows.astype(np.float32), times_s=np.arange(count) / 25, confidence=np.ones(count, np.float32),
        size=(picture.shape[1], picture.shape[0]),
    )  # fmt: skip
    fit = fit_track(load_mesh478(), track)
    pictures = [np.roll(picture, shift.astype(int)[::-1], (0, 1)) for shift in shifts]
    clip = crop_heads(iter(pictures), track.landmarks, fit, np.array([0, 2, 4]), 96)
    assert clip.numbers.tolist() == [0, 2, 4] and clip.frames.shape[1] == clip.frames.shape[2]
    assert clip.poses[1].scale == pytest.approx(96 / VIEW_SIDE, rel=0.02)
    nose = [(clip.points[k, 1, :2] - clip.offsets[k]).astype(int) for k in range(3)]
    patches = [clip.frames[k][y - 3 : y + 4, x - 3 : x + 4].astype(int) for k, (x, y) in enumerate(nose)]
    assert np.abs(patches[0] - patches[2]).mean() < 12  # the same nose, though the head has moved
    save_crops(tmp_path / "clip.npz", clip)
    again = load_crops(tmp_path / "clip.npz")
    np.testing.assert_array_equal(again.frames, clip.frames)
    np.testing.assert_array_equal(again.poses[2].translation, clip.poses[2].translation)
