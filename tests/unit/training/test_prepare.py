from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from faces import sample_picture
from talkingface.clips.manifest import list_clips
from talkingface.core.errors import InputError
from talkingface.training.prepare import _prepare_one, prepare, prepare_data
from talkingface.video.write import VideoWriter
from voices import make_voice, write_wav

FIELDS = ("file", "kind", "slug", "split", "identity", "licence_class")


def make_folder(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    (folder / "video").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([FIELDS, *rows])
    return folder


def make_clip(path: Path, picture: np.ndarray, count: int = 4) -> None:
    with VideoWriter(path, (picture.shape[1], picture.shape[0]), 25, synthetic=None) as writer:
        for k in range(count):
            writer.write(np.roll(picture, k, axis=1))


def test_a_clip_becomes_landmarks_and_samples(tmp_path):
    data = make_folder(tmp_path / "data", [("video/a.mp4", "video", "a", "train", "ann", "cc-by")])
    make_clip(data / "video" / "a.mp4", sample_picture())
    write_wav(data / "video" / "a.wav", make_voice(0.16))
    (clip,) = list_clips(data)
    assert _prepare_one((clip, tmp_path)) == ("a", "")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["landmarks"].shape == (4, 478, 3)
        assert file["samples"].dtype == np.int16 and len(file["samples"]) == 2560
        assert np.abs(file["samples"]).max() > 300
        assert file["confidence"].tolist() == [1, 1, 1, 1]
    assert not list(tmp_path.glob("*.part*"))


def test_silent_clips_get_silence_and_faceless_ones_are_named(tmp_path):
    rows = [("video/a.mp4", "video", "a", "train", "ann", "x"), ("video/b.mp4", "video", "b", "train", "bob", "x")]
    data = make_folder(tmp_path / "data", rows)
    make_clip(data / "video" / "a.mp4", sample_picture())
    make_clip(data / "video" / "b.mp4", np.full((64, 64, 3), 128, np.uint8))
    silent, faceless = list_clips(data)
    assert _prepare_one((silent, tmp_path)) == ("a", "")
    with np.load(tmp_path / "a.npz") as file:
        assert len(file["samples"]) and not file["samples"].any()
    slug, problem = _prepare_one((faceless, tmp_path))
    assert slug == "b" and "face" in problem
    assert not (tmp_path / "b.npz").exists()


def test_a_folder_without_train_clips_is_refused(tmp_path):
    data = make_folder(tmp_path / "data", [("video/a.mp4", "portrait", "a", "train", "ann", "x")])
    with pytest.raises(InputError, match="no train clip with a face to learn from"):
        prepare_data(data, tmp_path / "out")


@pytest.mark.slow
def test_a_folder_is_prepared_once(tmp_path):
    rows = [("video/a.mp4", "video", "a", "val", "ann", "x"), ("video/b.mp4", "video", "b", "train", "bob", "x")]
    data, out = make_folder(tmp_path / "data", rows), tmp_path / "out"
    make_clip(data / "video" / "a.mp4", sample_picture())
    make_clip(data / "video" / "b.mp4", np.full((64, 64, 3), 128, np.uint8))
    (failed,) = prepare(data, out, workers=1)
    assert failed.startswith("b: ")
    (entry,) = json.loads((out / "index.json").read_text())
    assert (entry["slug"], entry["split"], entry["licence_class"]) == ("a", "val", "x")
    before = (out / "a.npz").stat().st_mtime_ns
    prepare(data, out, workers=1)
    assert (out / "a.npz").stat().st_mtime_ns == before
