"""Folders of numbered pictures, read as videos are."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from talkingface.core.errors import InputError
from talkingface.video.image import image_size
from talkingface.video.read import VideoFrame, probe, read_frames

WIDTH, HEIGHT = 64, 48


def write_picture(path: Path, number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """A grey picture whose level tells its number: 16 + 4 x number."""
    Image.new("RGB", size, (16 + 4 * number,) * 3).save(path)


def numbers(frames) -> list[int]:
    return [round((float(frame.rgb.mean()) - 16) / 4) for frame in frames]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in PNG and JPEG, numbered from 3 on with a gap, beside what does not count."""
    path = tmp_path / "bilder ü"
    (path / "more").mkdir(parents=True)
    for k in range(12):
        write_picture(path / f"frame{k + 3 if k < 5 else k + 20}.{('png', 'JPG')[k % 2]}", k)
    write_picture(path / ".frame1.png", 30)
    write_picture(path / "more" / "frame2.png", 31)
    (path / "Thumbs.db").write_bytes(b"no picture")
    (path / "notes.txt").write_text("no picture")
    return path


def test_pictures_come_in_the_order_of_their_numbers_at_25_a_second(folder: Path) -> None:
    frames = list(read_frames(folder))
    assert numbers(frames) == list(range(12))
    assert [frame.time_s for frame in frames] == [k / 25 for k in range(12)]
    assert frames[0].rgb.dtype == np.uint8 and frames[0].rgb.shape == (HEIGHT, WIDTH, 3)
    assert all(frame.rgb.flags.writeable and frame.rgb.flags.c_contiguous for frame in frames)
    info = probe(folder)
    assert (info.size, info.fps, info.num_frames) == ((WIDTH, HEIGHT), Fraction(25), 12)
    assert info.duration_s == 12 / 25 and info.has_video and not info.has_audio and not info.variable_rate


def test_names_without_numbers_and_of_any_case(tmp_path: Path) -> None:
    for k, name in enumerate(("a.png", "B.jpg", "b1.png", "b02.png", "b10.png", "c.png")):
        write_picture(tmp_path / name, k)
    assert numbers(read_frames(tmp_path)) == list(range(6))


def test_other_rates_and_starts(folder: Path) -> None:
    assert numbers(read_frames(folder, fps=50)) == np.repeat(range(12), 2).tolist()
    assert numbers(read_frames(folder, fps=12.5)) == list(range(0, 12, 2))
    for start in (0.2, 0.21):
        assert numbers(read_frames(folder, start_s=start, fps=25)) == list(range(5, 12))
    assert numbers(read_frames(folder, start_s=0.2)) == list(range(5, 12))
    assert numbers(read_frames(folder, start_s=9)) == []


@pytest.mark.parametrize(("text", "rate"), [("50\n", 50), ("29.97", Fraction(30000, 1001)), ("24000/1001", None)])
def test_a_file_beside_the_pictures_tells_their_rate(folder: Path, text: str, rate: Fraction | None) -> None:
    (folder / "fps.txt").write_text(text)
    assert probe(folder).fps == (rate or Fraction(24000, 1001))
    assert list(read_frames(folder))[-1].time_s == pytest.approx(11 / float(probe(folder).fps))


@pytest.mark.parametrize("text", ["", "fast", "0", "-25", "1e999999999", "25 30", "1/0", "nan", "2000", "\xff"])
def test_a_rate_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "fps.txt").write_text(text, encoding="latin-1")
    for read in (probe, read_frames):
        with pytest.raises(InputError, match=r"fps\.txt must hold one number"):
            read(folder)


def test_a_damaged_picture_is_skipped_and_told(folder: Path) -> None:
    (folder / "frame6.JPG").write_bytes((folder / "frame6.JPG").read_bytes()[:200])
    (folder / "frame7.png").write_bytes(b"")
    lost: list[str] = []
    frames = list(read_frames(folder, lost=lost))
    assert numbers(frames) == [0, 1, 2, *range(5, 12)] and frames[3].time_s == 5 / 25
    assert lost == ["2 of 12 pictures cannot be read (frame6.JPG, frame7.png) and are skipped"]
    whole = numbers(read_frames(folder, fps=25))
    assert whole == [0, 1, 2, 2, 2, *range(5, 12)]
    for start in range(12):
        assert numbers(read_frames(folder, start_s=start / 25, fps=25)) == whole[start:]
    assert probe(folder).num_frames == 12


def test_a_damaged_first_picture_does_not_stop_the_rest(folder: Path) -> None:
    (folder / "frame3.png").write_bytes(b"nothing")
    assert probe(folder).size == (WIDTH, HEIGHT)
    assert numbers(read_frames(folder)) == list(range(1, 12))
    assert numbers(read_frames(folder, fps=25)) == [1, *range(1, 12)]


def test_larger_pictures_of_one_shape_follow_the_first(folder: Path) -> None:
    write_picture(folder / "frame5.png", 2, (133, 100))
    write_picture(folder / "frame6.JPG", 3, (32, 24))
    assert {frame.rgb.shape for frame in read_frames(folder)} == {(HEIGHT, WIDTH, 3)}
    assert numbers(read_frames(folder)) == list(range(12))
    assert {frame.rgb.shape for frame in read_frames(folder, longest_px=32)} == {(24, 32, 3)}
    assert next(read_frames(folder, longest_px=1000)).rgb.shape == (HEIGHT, WIDTH, 3)


def test_another_shape_is_refused_before_work_begins(folder: Path) -> None:
    write_picture(folder / "frame6.JPG", 3, (HEIGHT, WIDTH))
    for read in (probe, lambda path: list(read_frames(path))):
        with pytest.raises(InputError, match=r"frame6\.JPG is 48 x 64 pixels, .* 64 x 48; .* one shape"):
            read(folder)


def test_phone_rotation_and_transparency(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    shades = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    Image.fromarray(np.dstack([shades] * 3)).save(tmp_path / "1.png", exif=exif)
    clear = np.dstack([np.zeros((WIDTH, HEIGHT, 3), np.uint8), np.full((WIDTH, HEIGHT), 51, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "2.png")
    turned, white = read_frames(tmp_path)
    assert probe(tmp_path).size == (HEIGHT, WIDTH) == image_size(tmp_path / "1.png")
    np.testing.assert_array_equal(turned.rgb[..., 0], np.rot90(shades, -1))
    assert (white.rgb == 204).all()


def test_folders_without_pictures_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    for read in (probe, read_frames):
        with pytest.raises(InputError, match="folder without pictures; give"):
            read(tmp_path)
    (tmp_path / "1.png").write_text("no picture")
    for read in (probe, read_frames):
        with pytest.raises(InputError, match="none of the pictures in .* can be read"):
            read(tmp_path)


def test_memory_does_not_grow_with_the_folder(tmp_path: Path) -> None:
    for k in range(30):
        write_picture(tmp_path / f"{k}.bmp", k, (320, 240))
    one = 320 * 240 * 3
    frames = read_frames(tmp_path, fps=25)
    last: VideoFrame | None = next(frames)
    tracemalloc.start()
    try:
        for frame in frames:
            last = frame
        assert last is not None and tracemalloc.get_traced_memory()[1] < 8 * one
    finally:
        tracemalloc.stop()
