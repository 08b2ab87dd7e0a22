"""Interlaced pictures become whole ones, and whole ones stay as they are, whatever the flags say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from media_files import write_clip
from talkingface.video.read import probe, read_frames
from talkingface.video.survey import survey

WIDTH, HEIGHT, SPEED = 192, 144, 3.0
COUNT = 16


def scene(time: float, height: int = HEIGHT) -> np.ndarray:
    """A textured patch that moves to the right over a resting grey."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(height))
    shifted = x - 40 - SPEED * time
    patch = 130 + 60 * np.sin(shifted / 2.5) + 40 * np.sin(y / 3.0 + shifted / 9)
    inside = (shifted > 0) & (shifted < 70) & (y > 30) & (y < height - 30)
    level = np.where(inside, patch, 90).clip(16, 235).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=2)


def woven(upper_first: bool, height: int = HEIGHT) -> Callable[[int], np.ndarray]:
    """Frames whose two fields are half a frame apart."""

    def picture(index: int) -> np.ndarray:
        frame, first = scene(index, height), 0 if upper_first else 1
        frame[1 - first :: 2] = scene(index + 0.5, height)[1 - first :: 2]
        return frame

    return picture


def x264(order: str) -> dict[str, str]:
    return {"crf": "6", "g": "8", "x264-params": f"log-level=none{order}"}


def roughness(path: Path, read: bool = True) -> float:
    """How much lines differ from the mean of their neighbours: combs are rough."""
    if read:
        pictures = [frame.rgb[..., 1].astype(float) for frame in read_frames(path)]
    else:
        with av.open(str(path)) as file:
            pictures = [frame.to_ndarray(format="gray").astype(float) for frame in file.decode(video=0)]
    return float(np.mean([np.abs(2 * p[1:-1] - p[:-2] - p[2:]).mean() for p in pictures]))


@pytest.mark.parametrize("upper_first", [True, False])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_combs_are_gone_and_the_rate_stays(tmp_path: Path, name: str, upper_first: bool) -> None:
    order = "tff" if upper_first else "bff"
    path = write_clip(tmp_path / name, COUNT, options=x264(f":{order}=1"), picture=woven(upper_first))
    whole = write_clip(tmp_path / f"whole{name}", COUNT, options=x264(""), picture=scene)
    assert survey(path).fields == order and probe(path).fps == 25
    assert len(list(read_frames(path))) == COUNT
    combed, mended, true = roughness(path, read=False), roughness(path), roughness(whole)
    assert combed > 3 * true and mended < 1.5 * true
    # the field that comes first is the frame's own moment
    for index, frame in enumerate(read_frames(path)):
        if index:
            assert np.abs(frame.rgb.astype(int) - scene(index)).mean() < 4


@pytest.mark.parametrize("count", [1, 2])
def test_few_frames_are_given_too(tmp_path: Path, count: int) -> None:
    path = write_clip(tmp_path / "a.mp4", count, options=x264(":tff=1"), picture=woven(True))
    assert [frame.rgb.shape for frame in read_frames(path)] == [(HEIGHT, WIDTH, 3)] * count


def test_mpeg_with_interlaced_macroblocks(tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "b": "4M"}
    path = write_clip(tmp_path / "a.mpg", COUNT, codec="mpeg2video", options=options, picture=woven(True))
    assert survey(path).fields == "tff" and roughness(path) < 0.5 * roughness(path, read=False)


@pytest.mark.parametrize("order", ["", ":tff=1", ":bff=1"])
def test_whole_pictures_stay_as_they_are_whatever_the_flag_says(tmp_path: Path, order: str) -> None:
    path = write_clip(tmp_path / "a.mp4", COUNT, options=x264(order), picture=scene)
    assert survey(path).fields is None
    with av.open(str(path)) as file:
        plain = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    for read, frame in zip(read_frames(path), plain, strict=True):
        assert np.abs(read.rgb[..., 1].astype(int) - frame).max() <= 3


def test_television_without_flags_is_measured(tmp_path: Path) -> None:
    tall = write_clip(tmp_path / "pal.mp4", COUNT, options=x264(""), picture=woven(True, 576))
    assert survey(tall).fields == "tff"
    assert (
        survey(write_clip(tmp_path / "whole.mp4", 8, options=x264(""), picture=lambda k: scene(k, 576))).fields is None
    )
    assert survey(write_clip(tmp_path / "odd.mp4", 8, options=x264(""), picture=woven(True))).fields is None


def test_a_still_picture_says_nothing_against_the_flag(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 8, options=x264(":tff=1"), picture=lambda index: scene(0))
    assert survey(path).fields == "auto"
    assert roughness(path) == pytest.approx(roughness(path, read=False), rel=0.3)


def test_reading_from_a_time_gives_the_same_pictures(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", COUNT, options=x264(":tff=1"), picture=woven(True))
    whole = list(read_frames(path))
    for start in (5, 8, 9):
        later = list(read_frames(path, start_s=start / 25))
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(later, whole[start:], strict=True))
