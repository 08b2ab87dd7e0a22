"""Heads cropped out of a clip, to train the compact renderer on."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from faces import sample_picture, sample_points
from talkingface.core.types import Track
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.person.stages import load_record, save_record
from talkingface.systems.headpose.compact.data import HeadCrops, crop_heads
from talkingface.systems.headpose.compositing.composite import VIEW_SIDE


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
    assert clip.scale[1] == pytest.approx(96 / VIEW_SIDE, rel=0.02)
    nose = [(clip.points[k, 1, :2] - clip.offsets[k]).astype(int) for k in range(3)]
    patches = [clip.frames[k][y - 3 : y + 4, x - 3 : x + 4].astype(int) for k, (x, y) in enumerate(nose)]
    assert np.abs(patches[0] - patches[2]).mean() < 12  # the same nose, though the head has moved
    save_record(tmp_path / "clip.npz", clip)
    again = load_record(HeadCrops, tmp_path / "clip.npz")
    for field in fields(clip):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(clip, field.name), err_msg=field.name)
