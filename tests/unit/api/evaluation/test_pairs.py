from __future__ import annotations

from pathlib import Path

import pytest

from talkingface.api.evaluation.pairs import find_pairs
from talkingface.core.errors import InputError, UsageError


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_one_video_is_one_pair(tmp_path: Path) -> None:
    _touch(tmp_path / "a.mp4", tmp_path / "real.mp4")
    (pair,) = find_pairs(tmp_path / "a.mp4", tmp_path / "real.mp4")
    assert (pair.name, pair.generated, pair.reference) == ("a", tmp_path / "a.mp4", tmp_path / "real.mp4")
    assert pair.problem is None and pair.speech is None


def test_folders_are_matched_by_name_whatever_the_suffix(tmp_path: Path) -> None:
    made, real, sound = tmp_path / "made", tmp_path / "real", tmp_path / "sound"
    _touch(made / "b.mp4", made / "a.webm", made / "notes.txt", made / ".hidden.mp4", real / "a.mov", real / "b.mp4")
    _touch(sound / "a.wav", sound / "b.flac", tmp_path / "me.jpg")
    pairs = find_pairs(made, real, sound, tmp_path / "me.jpg")
    assert [(p.name, p.reference.name, p.speech.name) for p in pairs] == [
        ("a", "a.mov", "a.wav"),
        ("b", "b.mp4", "b.flac"),
    ]
    assert {p.source for p in pairs} == {tmp_path / "me.jpg"}


def test_what_has_no_partner_is_a_problem_not_a_silence(tmp_path: Path) -> None:
    _touch(tmp_path / "made" / "a.mp4", tmp_path / "made" / "extra.mp4")
    _touch(tmp_path / "real" / "a.mp4", tmp_path / "real" / "forgotten.mp4")
    pairs = {pair.name: pair for pair in find_pairs(tmp_path / "made", tmp_path / "real")}
    assert pairs["a"].problem is None
    assert "no reference named extra" in str(pairs["extra"].problem)
    assert "no generated video named forgotten" in str(pairs["forgotten"].problem)


def test_a_manifest_names_everything_itself(tmp_path: Path) -> None:
    _touch(tmp_path / "videos" / "a.mp4", tmp_path / "real.mp4")
    manifest = tmp_path / "list.csv"
    manifest.write_text("name,generated,reference\nfirst,videos/a.mp4,real.mp4\n,videos/a.mp4,\nbad,videos/no.mp4,\n")
    first, second, bad = find_pairs(manifest)
    assert (first.name, first.reference, first.problem) == ("first", tmp_path / "real.mp4", None)
    assert (second.name, second.reference) == ("a", None)
    assert "no.mp4 (line 4" in str(bad.problem)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("video\na.mp4\n", "unknown column 'video'"),
        ("name\na\n", "no column 'generated'"),
        ("generated\n", "no videos"),
    ],
)
def test_a_manifest_that_says_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(text)
    with pytest.raises(InputError, match=words):
        find_pairs(manifest)


def test_mixed_up_arguments_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path / "a.mp4", tmp_path / "real" / "a.mp4", tmp_path / "list.csv")
    with pytest.raises(UsageError, match="one video but"):
        find_pairs(tmp_path / "a.mp4", tmp_path / "real")
    with pytest.raises(UsageError, match="leave the options out"):
        find_pairs(tmp_path / "list.csv", tmp_path / "a.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no videos"):
        find_pairs(tmp_path / "empty")
