"""The mark under everything that `bench --what trust` does to videos, on one of its own making."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.trust.attacks import ATTACKS, Attack
from talkingface.core.samples import sample
from talkingface.trust.mark import Marker, find_mark, mark_payload
from talkingface.video.image import read_image
from talkingface.video.read import probe, read_frames
from talkingface.video.resize import shrink
from talkingface.video.write import VideoWriter

PAYLOAD = mark_payload("job")
SIDE = 512


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Five seconds of the sample portrait, which sways before itself out of focus, marked and encoded."""
    picture = shrink(read_image(sample("portrait")).rgb, (SIDE + 16, SIDE + 16))
    still = cv2.GaussianBlur(picture, (0, 0), 4)[:SIDE, :SIDE]
    path = tmp_path_factory.mktemp("marked") / "marked.mp4"
    marker = Marker((SIDE, SIDE), 25, PAYLOAD)
    with VideoWriter(path, None, 25) as writer:
        for k in range(125):
            frame, shift = still.copy(), round(8 + 6 * np.sin(k / 7))
            frame[100:410, 100:410] = picture[100:410, 100 + shift : 410 + shift]
            writer.write(marker.apply(frame))
    return [frame.rgb for frame in read_frames(path)]


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_mark_lasts(marked: list[np.ndarray], attack: Attack, tmp_path: Path) -> None:
    attack.make(marked, Fraction(25), tmp_path / "out.mkv")
    found = find_mark(tmp_path / "out.mkv")
    assert found.state == "found" and found.payload == PAYLOAD
    assert found.mirrored == (attack.name == "mirrored")


def test_attacks_change_what_they_name(tmp_path: Path) -> None:
    frames = [np.full((64, 128, 3), 4 * k, np.uint8) for k in range(60)]
    expected = {
        "0.5x": ((64, 32), 60),
        "1.5x": ((192, 96), 60),
        "cropped by a tenth": ((114, 56), 60),
        "15 fps": ((128, 64), 36),
        "60 fps": ((128, 64), 144),
        "first 2 s cut off": ((128, 64), 10),
        "4:3 of 16:9, cropped": ((96, 64), 60),
        "4:3 of 16:9, squeezed": ((96, 64), 60),
    }
    chosen = {attack.name: attack for attack in ATTACKS if attack.name in expected}
    assert set(chosen) == set(expected)
    for name, (size, count) in expected.items():
        chosen[name].make(frames, Fraction(25), tmp_path / "out.mkv")
        info = probe(tmp_path / "out.mkv")
        assert info.size == size and sum(1 for _ in read_frames(tmp_path / "out.mkv")) == count, name
