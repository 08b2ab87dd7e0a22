"""What a data folder lists, and what may be learned from it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from talkingface.clips.manifest import list_clips, listed_lags, prepared_clips, prepared_file, write_index
from talkingface.clips.tracked import save_track
from talkingface.core.errors import InputError
from talkingface.core.types import Track
from voices import make_voice, write_wav

FIELDS = ("file", "kind", "slug", "split", "identity", "licence_class")


def make_folder(folder: Path, rows: list[tuple[str, ...]], fields: tuple[str, ...] = FIELDS) -> Path:
    (folder / "video").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([fields, *rows])
    return folder


def test_the_manifest_says_what_there_is(tmp_path):
    data = make_folder(
        tmp_path / "däta",
        [
            ("video/a.mp4", "video", "a", "train", "ann", "cc-by"),
            ("video/b.webm", "video", "b", "val", "bob", "research"),
            ("portrait/p.png", "portrait", "p", "train", "pam", "cc-by"),
            ("video/driver_no_face.mp4", "video", "driver_no_face", "train", "none", "cc-by"),
        ],
    )
    write_wav(data / "video" / "b.wav", make_voice(0.2))
    (data / "arabic_words").mkdir()
    (data / "arabic_words" / "x1.mp4").touch()
    found = {clip.slug: clip for clip in list_clips(data)}
    assert set(found) == {"a", "b", "words_x1"}
    assert found["a"].sound == found["a"].path, "sound from the clip itself"
    assert found["b"].sound.name == "b.wav", "or from the file beside it"
    assert (found["b"].split, found["b"].identity, found["words_x1"].split) == ("val", "bob", "train")


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(InputError, match="no manifest.csv"):
        list_clips(tmp_path)


def test_columns_say_what_may_be_learned(tmp_path):
    rows = [
        ("video/a.mp4", "video", "a", "train", "ann", "cc-by", "", "3:5"),
        ("video/b.mp4", "video", "b", "train", "bob", "cc-by", "motion", "-2:"),
        ("video/c.mp4", "video", "c", "train", "cem", "cc-by", "none", ""),
        ("video/person31.mp4", "video", "person31", "train", "p31", "x", "", ""),
    ]
    data = make_folder(tmp_path / "data", rows, (*FIELDS, "use", "held_back"))
    clips = list_clips(data)
    assert [(clip.slug, clip.speaks) for clip in clips] == [("a", True), ("b", False), ("person31", True)]
    assert clips[2].held_back is None, "columns that are there count"
    track = Track(
        landmarks=np.zeros((6, 478, 3), np.float32), times_s=np.arange(6) / 25, confidence=np.ones(6, np.float32),
        size=(8, 8),
    )  # fmt: skip
    for clip in clips[:2]:
        save_track(prepared_file(tmp_path, clip.slug), track, samples=np.full(10, 16384, np.int16))
    write_index(tmp_path, clips)
    first, second = prepared_clips(tmp_path)
    assert first.slug == "a" and first.free(6).tolist() == [True, True, True, False, False, True]
    assert second.free(6).tolist() == [True, True, True, True, False, False] and not second.speaks
    assert len(first.load_track()) == 6 and first.load_samples().tolist() == [0.5] * 10
    assert prepared_clips(tmp_path, "val") == []


def test_a_wrong_range_is_refused(tmp_path):
    row = ("video/a.mp4", "video", "a", "train", "ann", "cc-by", "300 to 606")
    with pytest.raises(InputError, match="held_back is frames as in 300:606"):
        list_clips(make_folder(tmp_path / "data", [row], (*FIELDS, "held_back")))


def test_a_missing_column_is_named(tmp_path):
    row = ("video/a.mp4", "video", "a", "train", "ann")
    with pytest.raises(InputError, match="lacks the column licence_class"):
        list_clips(make_folder(tmp_path / "data", [row], FIELDS[:5]))


def test_older_manifests_are_completed(tmp_path):
    row = ("video/anchor_en.mp4", "video", "anchor_en", "train", "anchor_en", "x")
    (clip,) = list_clips(make_folder(tmp_path / "data", [row]))
    assert clip.held_back == slice(-500, None) and clip.speaks


def test_lags_are_medians_of_sure_ones(tmp_path):
    fields = ("kind", "slug", "identity", "r_pred", "lag_pred")
    rows = [
        ("video", "a", "ann", "0.6", "0.08"),
        ("video", "b", "ann", "0.5", "0.12"),
        ("video", "c", "ann", "0.1", "-0.3"),
        ("video", "d", "bob", "0.9", "0.04"),
        ("video", "e", "cem", "", ""),
    ]
    assert listed_lags(make_folder(tmp_path / "data", rows, fields)) == {"ann": pytest.approx(0.1)}
