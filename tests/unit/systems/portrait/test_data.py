from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from faces import drawn_picture, mesh_points, psnr
from talkingface.clips.manifest import PreparedClip, prepared_clips
from talkingface.clips.tracked import save_track
from talkingface.core.types import Track
from talkingface.photo.window import FACE_IN_CROP, face_square
from talkingface.systems.portrait.data import (
    CROP_PX,
    FaceClip,
    _frames_to_keep,
    crop_prepared,
    load_face_clip,
    make_face_clip,
    save_face_clip,
    source_scene,
)
from talkingface.video.write import VideoWriter


def small_clip(count: int = 3) -> FaceClip:
    jpegs = [cv2.imencode(".jpg", np.roll(drawn_picture(), 3 * k, 1)[..., ::-1])[1].tobytes() for k in range(count)]
    points = np.stack([mesh_points(60, (120 + 3 * k, 120)) for k in range(count)])
    return FaceClip(slug="someone", jpegs=jpegs, landmarks=points)


def test_clips_survive_being_saved(tmp_path):
    save_face_clip(tmp_path / "someone.npz", small_clip())
    again = load_face_clip(tmp_path / "someone.npz")
    assert again.slug == "someone" and again.jpegs == small_clip().jpegs
    assert np.array_equal(again.landmarks, small_clip().landmarks)
    assert psnr(again.frame(1), np.roll(drawn_picture(), 3, 1)) > 25, "colours are in their order"


def test_a_pickle_in_a_clip_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    np.savez(
        tmp_path / "evil.npz", jpegs=np.array([Evil()], object), sizes=np.array([1]), landmarks=np.zeros((1, 478, 3))
    )
    with pytest.raises(ValueError, match="allow_pickle"):
        load_face_clip(tmp_path / "evil.npz")
    assert not (tmp_path / "owned").exists()


def make_video(path: Path, count: int = 5) -> np.ndarray:
    """A 320 x 240 video whose picture moves with the returned landmarks."""
    wide = cv2.resize(drawn_picture(), (320, 240), interpolation=cv2.INTER_AREA)
    with VideoWriter(path, (320, 240), 25, synthetic=None, quality=6) as writer:
        for k in range(count):
            writer.write(np.roll(wide, 4 * k, 1))
    return np.stack([mesh_points(36, (130 + 4 * k, 110)) for k in range(count)])


def test_crops_hold_the_face_at_painter_scale(tmp_path):
    points = make_video(tmp_path / "v.mp4")
    confidence = np.array([1, 1, 0, 1, 1], np.float32)
    clip = make_face_clip(tmp_path / "v.mp4", points, confidence, np.arange(5))
    assert len(clip.jpegs) == len(clip.landmarks) == 4, "unseen frames are left out"
    sides = [face_square(p)[1] for p in clip.landmarks]
    assert sides == pytest.approx([CROP_PX / FACE_IN_CROP] * 4, rel=0.02)
    height, width = clip.frame(0).shape[:2]
    assert (clip.landmarks[..., :2].min((0, 1)) > 0).all() and (
        clip.landmarks[..., :2].max((0, 1)) < (width, height)
    ).all()
    # the same spot of the face has the same colours in all frames: pixels and landmarks move together
    spots = []
    for k in range(4):
        x, y = clip.landmarks[k, [10, 152, 33, 263], :2].mean(0).astype(int)
        spots.append(clip.frame(k)[y - 20 : y + 20, x - 20 : x + 20].astype(float))
    assert max(np.abs(spot - spots[0]).mean() for spot in spots) < 8


def prepared_clip(held_back: slice | None = None, split: str = "train") -> PreparedClip:
    nowhere = Path("nowhere.mp4")
    return PreparedClip(
        slug="a", path=nowhere, sound=nowhere, split=split, identity="ann", licence_class="x", held_back=held_back,
        file=nowhere,
    )  # fmt: skip


def test_frames_kept_back_train_nothing():
    kept = _frames_to_keep(prepared_clip(slice(300, 606)), 606)
    assert kept.max() < 300 and len(kept) == 80
    assert _frames_to_keep(prepared_clip(slice(-500, None)), 1780).max() < 1280
    assert len(_frames_to_keep(prepared_clip(), 30)) == 10
    assert np.array_equal(_frames_to_keep(prepared_clip(split="val"), 400), np.arange(125))


def test_prepared_clips_are_cropped_once(tmp_path):
    prepared, out = tmp_path / "prepared", tmp_path / "crops"
    prepared.mkdir()
    points = make_video(tmp_path / "v.mp4")
    track = Track(landmarks=points, times_s=np.arange(5) / 25, confidence=np.ones(5, np.float32), size=(64, 64))
    save_track(prepared / "v.npz", track)
    row = {"split": "train", "path": str(tmp_path / "v.mp4"), "identity": "ann", "licence_class": "x"}
    entries = [row | {"slug": slug} for slug in ("v", "never_tracked")]
    (prepared / "index.json").write_text(json.dumps(entries))
    crop_prepared(prepared, out)
    assert sorted(path.name for path in out.iterdir()) == ["index.json", "v.npz"]
    assert [clip.slug for clip in prepared_clips(out, "train")] == ["v"]
    before = (out / "v.npz").stat().st_mtime_ns
    crop_prepared(prepared, out)
    assert (out / "v.npz").stat().st_mtime_ns == before


def test_a_frame_becomes_a_stage():
    scene = source_scene(small_clip(), 1)
    assert scene.size == (256, 256)
    assert np.array_equal(scene.points, small_clip().landmarks[1])
