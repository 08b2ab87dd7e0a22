"""The strip: what is shown beside the result, and when."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import talkingface
from talkingface.api.layout import Panel, make_strip
from talkingface.core.errors import UsageError
from talkingface.core.motion import ping_pong
from talkingface.core.types import Frames, Photo
from talkingface.video.read import probe, read_frames
from talkingface.video.write import VideoWriter
from voices import make_voice, write_wav

STEP = 8
SIZE = (80, 40)


def write_counting(path: Path, count: int, fps: float = 25, sound: Path | None = None) -> Path:
    """A video whose frame k has the grey level `STEP` * k."""
    with VideoWriter(path, SIZE, fps, sound=sound, synthetic=None, quality=8, keyframe_every=4) as writer:
        for k in range(count):
            writer.write(np.full((SIZE[1], SIZE[0], 3), STEP * k, np.uint8))
    return path


def numbers(pictures: list[np.ndarray]) -> list[int]:
    return [round(float(picture.mean()) / STEP) for picture in pictures]


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_counting(tmp_path_factory.mktemp("clips") / "short.mp4", 28)


def test_a_video_ends_with_its_last_picture(short: Path) -> None:
    shown = list(itertools.islice(Panel(source=short).play(20, 25, 25), 33))
    assert numbers(shown) == [*range(28), *[27] * 5]
    assert shown[0].shape == (20, 40, 3)


def test_a_pose_video_returns_as_the_pose_does(short: Path) -> None:
    shown = itertools.islice(Panel(source=short, returns=True).play(20, 25, 25), 140)
    assert numbers(list(shown)) == ping_pong(np.arange(140), 28).tolist()


def test_a_pose_video_keeps_its_clock_at_other_rates(short: Path) -> None:
    shown = itertools.islice(Panel(source=short, returns=True).play(20, 50, 25), 80)
    assert numbers(list(shown)) == np.repeat(ping_pong(np.arange(40), 28), 2).tolist()


def test_one_picture_stays(tmp_path: Path) -> None:
    still = write_counting(tmp_path / "still.mp4", 1)
    assert len(list(itertools.islice(Panel(source=still, returns=True).play(20, 25, 25), 5))) == 5


def test_masks_cover_the_panels() -> None:
    strip = make_strip(Photo(rgb=np.zeros((10, 20, 3), np.uint8)), None, drive=None, pose=None, clock_fps=25)
    drawn = Frames(rgb=np.ones((2, 40, 30, 3), np.uint8), mask=np.zeros((2, 40, 30), np.uint8), start=3)
    (piece,) = strip.arrange(iter([drawn]), 25, 3)
    assert piece.rgb.shape == (2, 40, 110, 3) and piece.start == 3
    assert piece.mask is not None and (piece.mask[:, :, :80] == 255).all() and (piece.mask[:, :, 80:] == 0).all()


@pytest.mark.usefixtures("meter")
def test_four_panels_with_sound(photo: Path, short: Path, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "s.wav", make_voice(1.2))
    talking = write_counting(tmp_path / "talking.mp4", 30, sound=sound)
    options = {"system": "meter", "device": "cpu", "pose": str(short), "no_mark": "panels are compared"}
    plain = talkingface.animate(photo, talking, **options)
    strip = talkingface.animate(photo, talking, layout="strip", **options)
    pieces = list(strip)
    assert [piece.rgb.shape[1:] for piece in pieces[:1]] == [(48, 64 + 64 + 96 + 96, 3)]
    rgb = np.concatenate([piece.rgb for piece in pieces])
    np.testing.assert_array_equal(rgb[:, :, 64:128], np.concatenate([piece.rgb for piece in plain]))
    assert (rgb[:, :, :64] == (90, 60, 40)).all()
    assert numbers(list(rgb[:, :, 128:224])) == ping_pong(np.arange(len(rgb)), 28).tolist()
    # the sound of a film fills whole packets: it may last a frame longer than the pictures
    assert numbers(list(rgb[:, :, 224:])) == [min(k, 29) for k in range(len(rgb))] and len(rgb) in (30, 31)
    later = np.concatenate([piece.rgb for piece in strip.frames(11)])
    np.testing.assert_array_equal(later, rgb[11:])
    target = strip.save(tmp_path / "strip.mp4")
    assert probe(target).has_audio and probe(target).size == (320, 48)
    assert sum(1 for _ in read_frames(target)) == len(rgb)


@pytest.mark.usefixtures("meter")
def test_panels_that_do_not_exist_are_left_out(photo: Path, voice_file: Path, short: Path, tmp_path: Path) -> None:
    options = {"system": "meter", "device": "cpu", "layout": "strip"}
    alone = next(iter(talkingface.animate(photo, voice_file, **options)))
    assert alone.rgb.shape[2] == 128
    avatar = talkingface.fit(photo, system="meter", device="cpu")
    assert next(iter(talkingface.animate(avatar, voice_file, device="cpu", layout="strip"))).rgb.shape[2] == 64
    angles = tmp_path / "angles.csv"
    angles.write_text("0, 0, 0, 0\n1, 10, 0, 0\n")
    assert next(iter(talkingface.animate(photo, voice_file, pose=str(angles), **options))).rgb.shape[2] == 128
    driven = talkingface.animate(photo, voice_file, drive=str(short), pose=str(short), **options)
    assert next(iter(driven)).rgb.shape[2] == 128 + 96


@pytest.mark.usefixtures("meter")
def test_another_layout_is_refused(photo: Path, voice_file: Path) -> None:
    with pytest.raises(UsageError, match="plain or strip"):
        talkingface.animate(photo, voice_file, system="meter", layout="row")
