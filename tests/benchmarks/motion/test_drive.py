"""Clips that drive their own first frame, on a made-up data folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.motion.drive import drive
from benchmarks.targets import TargetJob
from clips import write_face_video
from talkingface.video.image import read_image


def test_a_swaying_face_drives_itself(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "file,kind,slug,split,identity,licence_class\n"
        "sway.mp4,video,sway,val,someone,free\nold.mp4,video,old,train,another,free\n"
    )
    shift = np.minimum(np.arange(55), 20)  # it soon moves, and stays there
    write_face_video(tmp_path / "sway.mp4", np.stack([shift, np.zeros(55)], axis=1), size=(192, 192))
    found = drive(TargetJob(data=tmp_path, sheets=tmp_path / "sheets"))
    values = {row.name: row.value for row in found.rows}
    (scores,) = found.details["clips"]
    assert scores["clip"] == "sway" and scores["first"] > scores["still"] + 1
    gains = [values[f"gain with --pose-origin {origin}, dB"] for origin in ("first", "none", "mean")]
    assert all(gain is not None for gain in gains) and min(gains[:2]) > gains[2]  # type: ignore[type-var]
    assert read_image(tmp_path / "sheets" / "drive-sway.png").rgb.shape[0] == 5 * 220
