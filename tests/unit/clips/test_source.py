"""Every kind of face is told by its content, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from talkingface.clips.source import open_clip, open_media, open_source
from talkingface.core.errors import ArgumentError, InputError
from talkingface.core.types import Avatar, Clip, Photo
from talkingface.core.weights import save_avatar
from talkingface.video.write import VideoWriter
from voices import make_voice, write_wav

SIZE = (64, 48)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture without a suffix"
    Image.new("RGBA", SIZE, (200, 100, 50, 128)).save(path, "PNG")
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    with VideoWriter(path, SIZE, 25, sound=None, synthetic=None) as writer:
        for k in range(5):
            writer.write(np.full((*SIZE[::-1], 3), 20 * k, np.uint8))
    return path


def test_a_photo_comes_with_its_transparency(picture: Path) -> None:
    photo = open_source(picture)
    assert isinstance(photo, Photo) and photo.path == picture
    assert (photo.rgb == (200, 100, 50)).all() and photo.alpha is not None and (photo.alpha == 128).all()
    assert photo.opaque()[0, 0].tolist() == [227, 177, 152], "over white"
    assert open_source(photo) is photo and open_media(photo) is photo


def test_a_clip_comes_with_what_it_holds(film: Path) -> None:
    clip = open_source(film)
    assert isinstance(clip, Clip) and clip.path == film and clip.info.size == SIZE and clip.info.fps == 25
    assert open_clip(clip) is clip


def test_an_avatar_is_loaded(tmp_path: Path) -> None:
    avatar = Avatar(system="meter", card={"kind": "photo"}, tensors={"x": np.zeros(1, np.float32)})
    save_avatar(tmp_path / "me", avatar)
    loaded = open_source(tmp_path / "me")
    assert isinstance(loaded, Avatar) and loaded.system == "meter" and open_source(loaded) is loaded
    with pytest.raises(InputError, match="is an avatar; give a photo, a video or a folder"):
        open_media(tmp_path / "me")


def test_an_array_is_a_picture() -> None:
    rgb = np.zeros((4, 5, 3), np.uint8)
    photo = open_source(rgb)
    assert isinstance(photo, Photo) and photo.path is None and np.array_equal(photo.rgb, rgb)


def test_grey_opacity_and_any_order_in_memory_are_taken() -> None:
    rgb = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    rgba = np.dstack([rgb, np.full((4, 5), 7, np.uint8)])
    cut = open_source(rgba)
    assert isinstance(cut, Photo) and cut.alpha is not None
    np.testing.assert_array_equal(np.dstack([cut.rgb, cut.alpha]), rgba)
    rgba[..., 3] = 255
    whole = open_source(rgba)
    assert isinstance(whole, Photo) and whole.alpha is None
    grey = rgb[..., 0]
    for array in (grey, grey[..., None]):
        photo = open_source(array)
        assert isinstance(photo, Photo)
        np.testing.assert_array_equal(photo.rgb, np.dstack([grey] * 3))
    rgb.flags.writeable = False
    mirrored = open_source(rgb[:, ::-1])
    assert isinstance(mirrored, Photo) and mirrored.rgb.flags.c_contiguous and mirrored.rgb.flags.writeable
    np.testing.assert_array_equal(mirrored.rgb, rgb[:, ::-1])


def test_a_picture_is_not_changed_by_what_its_array_is_used_for_next() -> None:
    buffer = np.full((4, 5, 3), 9, np.uint8)
    photo = open_source(buffer)
    buffer[:] = 0
    assert isinstance(photo, Photo) and (photo.rgb == 9).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5, 2), np.uint8), np.zeros((4, 5, 3)), np.zeros((0, 5, 3), np.uint8), np.zeros((0, 0), np.uint8),
        np.zeros((2, 4, 5, 3), np.uint8), np.zeros((4, 5, 3), np.int64), np.zeros((4, 5, 3), bool),
        np.zeros((4, 5, 3), object), np.zeros((), np.uint8),
    ],
)  # fmt: skip
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"must be an array uint8 \[height, width, 3\] of RGB values"):
        open_source(array)


def test_huge_arrays_and_other_things_are_refused() -> None:
    with pytest.raises(InputError, match="170 megapixels"):
        open_source(np.broadcast_to(np.zeros(3, np.uint8), (10**6, 10**6, 3)))
    for thing in (None, 3, [[1, 2]], b"bytes", {"rgb": 1}):
        with pytest.raises(ArgumentError, match="a path or an array"):
            open_source(thing)  # type: ignore[arg-type]


def test_what_cannot_move_or_be_seen_is_refused(picture: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a photo, which holds no motion; the driver must be a video"):
        open_clip(picture, "the driver")
    with pytest.raises(InputError, match="holds no picture"):
        open_source(write_wav(tmp_path / "s.wav", make_voice(0.5)))
    with pytest.raises(InputError, match="there is no file"):
        open_source(tmp_path / "missing.mp4")
    (tmp_path / "letter.txt").write_text("no media")
    with pytest.raises(InputError, match="cannot be read"):
        open_source(tmp_path / "letter.txt")
