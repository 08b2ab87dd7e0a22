"""Finding the mark in real files, and not finding one where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkingface.core.errors import InputError
from talkingface.core.samples import sample
from talkingface.trust.mark import Marker, find_mark, mark_payload
from talkingface.video.image import read_image
from talkingface.video.resize import shrink
from talkingface.video.write import VideoWriter

PAYLOAD = mark_payload("job")
Change = Callable[[np.ndarray], np.ndarray]


def _moving(side: int, count: int) -> list[np.ndarray]:
    """The sample portrait sways before itself out of focus."""
    picture = shrink(read_image(sample("portrait")).rgb, (side + 16, side + 16))
    still = cv2.GaussianBlur(picture, (0, 0), 4)[:side, :side]
    frames = []
    for k in range(count):
        frame = still.copy()
        shift = round(8 + 6 * np.sin(k / 7))
        low, high = side // 5, side * 4 // 5
        frame[low:high, low:high] = picture[low:high, low + shift : high + shift]
        frames.append(frame)
    return frames


@pytest.fixture(scope="module", params=[256, 512])
def frames(request: pytest.FixtureRequest) -> list[np.ndarray]:
    return _moving(request.param, 80)


def _mark(frames: list[np.ndarray], key: bytes | None = None) -> list[np.ndarray]:
    size = (frames[0].shape[1], frames[0].shape[0])
    marker = Marker(size, 25, PAYLOAD, *([] if key is None else [key]))
    return [marker.apply(rgb) for rgb in frames]


def _write(path: Path, frames: list[np.ndarray], quality: int = 23, change: Change = np.asarray) -> Path:
    with VideoWriter(path, None, 25, quality=quality) as writer:
        for rgb in frames:
            writer.write(np.ascontiguousarray(change(rgb)))
    return path


def test_found_after_encoding(frames: list[np.ndarray], tmp_path: Path) -> None:
    found = find_mark(_write(tmp_path / "a.mp4", _mark(frames), 28 if len(frames[0]) == 512 else 23))
    assert (found.state, found.payload, found.mirrored) == ("found", PAYLOAD, False) and found.score > 5


def test_found_in_mirrored_cropped_and_smaller_pictures(frames: list[np.ndarray], tmp_path: Path) -> None:
    marked = _mark(frames)
    side = len(marked[0])
    found = find_mark(_write(tmp_path / "mirrored.mp4", marked, change=lambda rgb: rgb[:, ::-1]))
    assert found.payload == PAYLOAD and found.mirrored
    edge = side // 20
    found = find_mark(_write(tmp_path / "cropped.mp4", marked, change=lambda rgb: rgb[edge:, edge : side - edge]))
    assert found.payload == PAYLOAD
    if side == 512:
        small = (side * 3 // 8, side // 2)
        found = find_mark(_write(tmp_path / "squeezed.mp4", marked, change=lambda rgb: shrink(rgb, small)))
        assert found.payload == PAYLOAD


def test_neither_without_a_mark_nor_with_another_key(frames: list[np.ndarray], tmp_path: Path) -> None:
    marked = _write(tmp_path / "marked.mp4", _mark(frames))
    assert find_mark(marked, key=b"other").state == "not_found"
    assert find_mark(_write(tmp_path / "plain.mp4", frames)).state == "not_found"
    own = _write(tmp_path / "own.mp4", _mark(frames, b"mine"))
    assert find_mark(own).payload is None and find_mark(own, key=b"mine").payload == PAYLOAD


def test_frames_instead_of_a_file() -> None:
    frames = _moving(256, 30)
    assert find_mark(iter(_mark(frames))).payload == PAYLOAD
    assert find_mark(frames).state == "too_short"
    assert find_mark([]).state == "too_short"


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (16, 16), (500, 3), (40, 1000)])
def test_odd_files_are_answered(tmp_path: Path, size: tuple[int, int]) -> None:
    one = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    assert find_mark(_write(tmp_path / "one.mp4", [one])).state == "too_short"
    assert find_mark(_write(tmp_path / "many.mp4", [one] * 80)).state == "not_found"


def test_constant_pictures_are_answered(tmp_path: Path) -> None:
    for level in (0, 128, 255):
        flat = [np.full((96, 128, 3), level, np.uint8)] * 80
        assert find_mark(_write(tmp_path / "flat.mp4", flat)).state == "not_found"


def test_no_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for path in (tmp_path / "text.mp4", tmp_path / "missing.mp4"):
        with pytest.raises(InputError):
            find_mark(path)
