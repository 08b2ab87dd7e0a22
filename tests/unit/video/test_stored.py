from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkingface.core.errors import InputError
from talkingface.video.stored import StoredFrames, store_frames

SIZE = (65, 48)


def _frames(count: int) -> list[np.ndarray]:
    """Frames that tell their number by a bar, so that a neighbour cannot pass for them."""
    frames = []
    for number in range(count):
        rgb = np.full((SIZE[1], SIZE[0], 3), 60, np.uint8)
        rgb[:, : number + 4] = (200, 180, 160)
        frames.append(rgb)
    return frames


def test_frames_come_back_in_any_order_and_of_odd_size(tmp_path: Path) -> None:
    frames = _frames(40)
    assert store_frames(tmp_path / "clip.mp4", frames, SIZE) == 40
    stored = StoredFrames(tmp_path / "clip.mp4", SIZE)
    for number in (17, 39, 0, 12, 11, 38, 37, 24):
        assert stored[number].shape == frames[number].shape
        assert np.abs(stored[number].astype(int) - frames[number]).mean() < 3


def test_a_frame_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    store_frames(tmp_path / "clip.mp4", _frames(5), SIZE)
    with pytest.raises(InputError, match="no frame 9"):
        StoredFrames(tmp_path / "clip.mp4", SIZE)[9]
