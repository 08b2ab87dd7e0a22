"""Encoding with a quarter of the bytes, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.media import reencode as bench_reencode
from benchmarks.media.reencode import encode_smaller, picture_bytes, reencode
from benchmarks.targets import TargetJob
from clips import write_face_video
from talkingface.training.prepare import ClipEntry
from talkingface.video.read import probe


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_video(tmp_path_factory.mktemp("clip") / "face.mp4", quality=14)


def test_pictures_are_counted_without_sound_and_up_to_a_time(clip: Path) -> None:
    whole = picture_bytes(clip)
    assert 0.5 * clip.stat().st_size < whole < clip.stat().st_size
    assert 0 < picture_bytes(clip, 0.6) < whole == picture_bytes(clip, 1.2)


def test_the_finest_quality_with_at_most_a_quarter_is_found(clip: Path, tmp_path: Path) -> None:
    quality = encode_smaller(clip, tmp_path / "small.mp4")
    assert picture_bytes(tmp_path / "small.mp4") <= picture_bytes(clip) / 4
    bench_reencode._encode(clip, tmp_path / "finer.mp4", quality - 1)
    assert picture_bytes(tmp_path / "finer.mp4") > picture_bytes(clip) / 4
    assert probe(tmp_path / "small.mp4").num_frames == probe(clip).num_frames


def test_clips_are_judged_and_bad_ones_named(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.csv").write_text("kind,slug\n")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    entries = [
        ClipEntry(slug=name, path=path, sound=path, split="val", identity=name, licence_class="cc-by")
        for name, path in (("good", clip), ("bad", tmp_path / "bad.mp4"))
    ]
    monkeypatch.setattr(bench_reencode, "list_clips", lambda data: entries)
    found = reencode(TargetJob(data=tmp_path))
    assert list(found.details["left_out"]) == ["bad"]
    (judged,) = found.details["clips"]
    assert judged["clip"] == "good" and -1 <= judged["correlation"] <= 1 and judged["psnr"] > 20
    assert len(found.rows) >= 3 and all(row.met is not None for row in found.rows)
    assert found.rows[0].value == pytest.approx(1 - judged["correlation"])
