"""Figures of made pictures beside the clip's own frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clips import write_face_video
from talkingface.clips.source import open_clip
from talkingface.clips.tracked import track_clip
from talkingface.core.types import Frames
from talkingface.person.held_out import score_held_out
from talkingface.video.read import probe, read_frames
from talkingface.video.stored import StoredFrames, store_frames

FIRST, COUNT = 4, 12


def test_real_frames_win_and_blurred_ones_have_no_detail(tmp_path: Path) -> None:
    clip = write_face_video(tmp_path / "clip.mp4", size=(160, 160))
    pictures = [frame.rgb for frame in read_frames(clip)]
    store_frames(tmp_path / "stored.mp4", iter(pictures), (160, 160))
    stored = StoredFrames(tmp_path / "stored.mp4", (160, 160))
    own = [stored[FIRST + k] for k in range(COUNT)]
    blurred = [cv2.GaussianBlur(rgb, (0, 0), 2.0) for rgb in own]
    made = {
        "own": iter([Frames(rgb=np.stack(own[:5])), Frames(rgb=np.stack(own[5:]), start=5)]),
        "blurred": iter([Frames(rgb=np.stack(blurred))]),
        "nobody": iter([Frames(rgb=np.zeros_like(np.stack(own)))]),
    }
    track = track_clip(open_clip(clip), fps=25).track
    samples = np.zeros(COUNT * 640, np.float32)
    figures = score_held_out(made, stored, track, FIRST, samples, tmp_path / "side.mp4", "meter")
    assert figures["own"]["face_psnr"] > 60 and figures["own"]["detail"] == pytest.approx(1, abs=0.01)
    assert figures["blurred"]["detail"] < 0.5 and figures["blurred"]["mouth_psnr"] < figures["own"]["mouth_psnr"]
    assert figures["own"]["lmd"] < figures["own"]["still_lmd"] + 1 and figures["own"]["frames"] == COUNT
    assert "lmd" not in figures["nobody"] and figures["nobody"]["psnr"] < 20
    info = probe(tmp_path / "side.mp4")
    assert info.size == (640, 160) and info.num_frames == COUNT
