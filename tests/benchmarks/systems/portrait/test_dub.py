"""Dubbed clips beside the real frames: seams on painted pictures, and a small clip with its own sound."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.systems.portrait.dub import changed_patch, rows, score, seam_gradients, val_clips
from clips import write_face_video
from faces import drawn_picture
from talkingface import api
from talkingface.video.image import read_image


def seam(made: np.ndarray, real: np.ndarray) -> float:
    drawn, true = seam_gradients(made, real, 50)
    return drawn / true


def patched(soft: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture with detail, and with a lighter disc whose border is `soft` pixels wide."""
    real = drawn_picture()
    mask = np.zeros(real.shape[:2], np.float32)
    cv2.circle(mask, (128, 128), 50, (1.0,), -1)
    mask = cv2.GaussianBlur(mask, (0, 0), soft) if soft else mask
    return np.clip(real + 30 * mask[..., None], 0, 255).astype(np.uint8), real


def test_a_hard_border_is_a_seam_and_a_soft_one_is_not():
    assert seam(*patched(0)) > 2
    assert seam(*patched(8)) == pytest.approx(1, abs=0.1)


def test_specks_and_holes_are_no_border():
    made, real = patched(0)
    made[10:13, 10:13] += 40
    made[120:130, 120:130] = real[120:130, 120:130]
    patch = changed_patch(made, real, 50)
    assert not patch[11, 11] and patch[125, 125]
    assert patch.sum() == pytest.approx(np.pi * 50**2, rel=0.05)
    assert seam_gradients(real, real, 50) == (0, 0)


def test_a_clip_is_dubbed_with_its_own_sound(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text(
        "file,kind,slug,split,identity,licence_class,audio\n"
        "sway.mp4,video,sway,val,someone,free,yes\nagain.mp4,video,again,val,someone,free,yes\n"
        "mute.mp4,video,mute,val,another,free,no\nold.mp4,video,old,train,third,free,yes\n"
    )
    write_face_video(tmp_path / "sway.mp4", size=(192, 192))
    (clip,) = val_clips(tmp_path, None)
    assert clip.slug == "sway"
    found = score(api.load("portrait"), clip, tmp_path / "sheets")
    assert found["frames"] == 30 and 15 < found["mouth_db"] < 60 and 0.5 < found["seam"] < 1.5
    assert read_image(tmp_path / "sheets" / "dub-sway.png").rgb.shape[0] % 2 == 0


def test_verdicts():
    scores = [{"clip": "a", "mouth_db": 20.0, "seam": 1.0}, {"clip": "b", "mouth_db": 60.0, "seam": 1.5}]
    found = rows(scores, {"seconds": 24.3, "frames_per_s": 30.0, "frames_per_processor_s": 20.0})
    verdicts = {row.name: row.met for row in found}
    assert verdicts["gradient across the border over the real one's, median"] is False
    assert verdicts["frames/s, 24 s at 720p, process start to file"] is False
    assert "the same, worst (a)" in verdicts and "the same, worst (b)" in verdicts
