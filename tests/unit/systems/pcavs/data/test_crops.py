from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from talkingface.core.errors import InputError
from talkingface.core.progress import progress_listener
from talkingface.face.morphable import load_mesh478
from talkingface.systems.pcavs.alignment.align import SIZE_PX, alignment, three_points, warp
from talkingface.systems.pcavs.data.crops import (
    BORDER,
    crop_clips,
    load_crops,
    moved_sound,
    prepare_crops,
)
from talkingface.systems.pcavs.data.mel import speech_gain, speech_mel
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter
from voices import make_voice

FPS, FRAMES, SIZE = 30, 36, (320, 240)


def write_prepared(folder: Path, slug: str, *, unseen: slice = slice(0, 0), frames: int = FRAMES) -> dict[str, str]:
    """A moving pattern with the points of a face in it, as `training.prepare` leaves them; returns its row."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    path = folder / f"{slug}.mp4"
    with VideoWriter(path, SIZE, FPS, synthetic=None, quality=8) as writer:
        for k in range(frames):
            wave = [127 + 60 * np.sin((x + 3 * k) / (19 + c)) + 50 * np.cos(y / (13 + 2 * c)) for c in range(3)]
            writer.write(np.stack(wave, -1).astype(np.uint8))
    points = load_mesh478().mean * 60 + (160, 120, 0)
    landmarks = np.stack([points + (0.5 * k, 0, 0) for k in range(FRAMES)]).astype(np.float32)
    confidence = np.ones(FRAMES, np.float32)
    confidence[unseen] = 0
    sound = np.round(make_voice(FRAMES / FPS) * 32767).astype(np.int16)
    times_s = np.arange(FRAMES) / FPS
    np.savez(
        folder / f"{slug}.npz",
        landmarks=landmarks,
        times_s=times_s,
        confidence=confidence,
        size=np.array(SIZE),
        samples=sound,
    )
    return {"slug": slug, "split": "val", "identity": "somebody", "licence_class": "cc-by", "path": str(path)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    rows = [
        write_prepared(folder, "seen", unseen=slice(6, 9)),
        write_prepared(folder, "arabic_1", unseen=slice(0, FRAMES - 3)),
        write_prepared(folder, "driver_short", frames=9),
        {**write_prepared(folder, "gone"), "path": str(folder / "no.mp4")},
    ]
    (folder / "index.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def crops(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    told: list[tuple[str, int, int | None]] = []
    with progress_listener(lambda *report: told.append(report)):
        problems = prepare_crops(prepared, folder, late_s={"somebody": 0.04}, workers=1)
    assert [problem.partition(":")[0] for problem in problems] == ["arabic_1", "driver_short", "gone"]
    assert "2 frames only" in problems[0] and "fewer frames" in problems[1] and "no file" in problems[2]
    assert told[-1] == ("cutting crops", 4, 4)
    return folder


def test_a_clip_comes_back_on_the_clock(prepared: Path, crops: Path) -> None:
    (clip,) = crop_clips(crops, split="val")
    assert list(crop_clips(crops, split="train")) == []
    assert len(clip) == 30 and clip.slug == "seen" and clip.person == "somebody" and clip.speaks
    shown = [int(k * FPS / 25 + 1e-6) for k in range(30)]
    with np.load(prepared / "seen.npz") as file:
        landmarks, samples = file["landmarks"][shown], file["samples"].astype(np.float32) / 32768
    np.testing.assert_array_equal(np.flatnonzero(clip.weight == 0), [k for k, n in enumerate(shown) if 6 <= n < 9])
    seen = np.array([not 6 <= n < 9 for n in shown])
    matrices = alignment(three_points(landmarks), seen)
    np.testing.assert_allclose(clip.matrices, matrices, rtol=1e-6)
    assert clip.pose.shape == (30, 3) and np.abs(clip.pose).max() < 1e-3
    placed = three_points(clip.landmarks.astype(np.float64))
    assert np.abs(placed[:, 2] - (112, 120)).max() < 1
    delayed = np.concatenate([np.zeros(640, np.float32), samples])[: 30 * 640]
    np.testing.assert_allclose(clip.mel, speech_mel(delayed, speech_gain(samples)))
    assert clip.mel_windows([0, 29]).shape == (2, 1, 80, 20)
    pictures = [frame.rgb for frame in read_frames(prepared / "seen.mp4")]
    drawn = clip.frames([17, 3])
    assert drawn.shape == (2, SIZE_PX, SIZE_PX, 3)
    for made, number in zip(drawn, (17, 3), strict=True):
        expected = warp(pictures[shown[number]], matrices[number], BORDER)
        assert np.abs(made.astype(int) - expected).mean() < 2.5  # what JPEG changes


def test_done_clips_are_kept(prepared: Path, crops: Path) -> None:
    before = (crops / "seen.npz").stat().st_mtime_ns
    prepare_crops(prepared, crops, workers=1)
    assert (crops / "seen.npz").stat().st_mtime_ns == before
    (row,) = json.loads((crops / "index.json").read_text())
    assert row["frames"] == 30 and row["usable_frames"] == 27 and row["late_s"] == 0.04


def test_held_back_frames_have_no_weight(prepared: Path, tmp_path: Path) -> None:
    held = tmp_path / "prepared"
    shutil.copytree(prepared, held)
    rows = json.loads((held / "index.json").read_text())
    (held / "index.json").write_text(json.dumps([row | {"held_back": "-6:"} for row in rows]))
    prepare_crops(held, tmp_path, workers=1)
    weight = load_crops(tmp_path / "seen.npz").weight
    assert (weight[-5:] == 0).all() and weight[-6] == 1


def test_other_files_are_refused(tmp_path: Path, crops: Path) -> None:
    with pytest.raises(InputError, match="no prepared data folder"):
        prepare_crops(tmp_path, tmp_path / "out")
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(InputError, match="no crops"):
        load_crops(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", facts="{}")
    with pytest.raises(InputError, match="no crops"):
        load_crops(tmp_path / "other.npz")
    clip = load_crops(crops / "seen.npz")
    with pytest.raises(IndexError):
        clip.frames([0, len(clip)])
    with pytest.raises(IndexError):
        clip.frames([-1])


@pytest.mark.parametrize(("late_s", "first"), ((0.25, 0.0), (-0.25, 4001.0), (0.0, 1.0)))
def test_sound_moves_to_the_lips(late_s: float, first: float) -> None:
    moved = moved_sound(np.arange(1, 16001, dtype=np.float32), late_s, 10)
    assert moved[0] == first and len(moved) == 6400
