"""Rows of `bench --what silence|noise|voices|languages|ear`, from made-up figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.motion import ear
from benchmarks.motion.languages import MOST_FILES, NOT_PLAIN, blank_view, chosen_files, language_rows
from benchmarks.motion.noise import changed_sounds, noise_rows
from benchmarks.motion.silence import silence_rows
from benchmarks.motion.speaking import SpeechFile
from benchmarks.motion.voices import compared, voice_rows
from benchmarks.targets import TargetJob
from faces import mesh_points, open_mouth
from talkingface.core.errors import TalkingFaceError
from talkingface.face.mouth_view import mouth_view


def test_one_open_frame_in_silence_is_a_miss() -> None:
    calm = {"kind": "music", "sound": "a", "delay": "best", "frames": 100, "open": 0}
    rows = list(silence_rows([calm, calm | {"sound": "b", "open": 1}, calm | {"kind": "breath"}]))
    assert [(row.value, row.met) for row in rows] == [(1, False), (0, True)] and "of 200" in rows[0].name


def test_shares_are_of_the_clean_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.motion.noise.NOISE_S", 0.5)
    (tmp_path / "manifest.csv").write_text("file,kind,slug,split,identity,licence_class\n")
    assert list(changed_sounds(TargetJob(data=tmp_path))) == [
        "clean", "pink noise at 5 dB", "music at 5 dB", "telephone", "hall",
    ]  # fmt: skip
    scores = [{"delay": "best", "sound": "clean", "gap": gap} for gap in (0.4, 0.5, 0.9)]
    scores += [{"delay": "best", "sound": "hall", "gap": gap} for gap in (0.3, 0.4, 0.8)]
    clean, share, means = noise_rows(scores)
    assert clean.value == 0.5 and share.value == pytest.approx(0.8) and share.met is False
    assert means.value == pytest.approx(1.5 / 1.8) and means.met is None


def test_a_faster_voice_is_compared_at_its_own_pace() -> None:
    plain = np.sin(np.arange(100) / 4)
    quick = np.sin(np.arange(80) * 1.25 / 4)
    assert compared(quick, plain, 1.25) > 0.99 > compared(quick, plain, 1.0)
    rows = list(voice_rows([{"sound": "a", "delay": "best", "gap": [0.0, 0.1, 0.2, 0.01]}]))
    assert [row.value for row in rows] == pytest.approx([0.5, 0.0775, 0.2])


def test_languages_are_compared_with_english() -> None:
    files = [SpeechFile(slug=f"f{k}", language="en", path=Path("f")) for k in range(40)]
    files += [SpeechFile(slug=slug, language="en", path=Path("f")) for slug in NOT_PLAIN]
    chosen = chosen_files(files)
    assert 6 < len(chosen) <= MOST_FILES and not {file.slug for file in chosen} & set(NOT_PLAIN)
    assert chosen_files([]) == []
    scores = [{"language": "en", "confidence": 0.4}, {"language": "ja", "confidence": 0.3}]
    scores += [{"language": "ja", "confidence": 0.4}, {"language": "zh", "confidence": 0.3}]
    _, japanese, chinese = language_rows(scores, "best")
    assert japanese.value == pytest.approx(0.875) and japanese.met and chinese.met is False
    assert not list(language_rows(scores[1:], "best"))


def test_points_are_seen_as_in_a_clip_without_pictures() -> None:
    points = np.stack([open_mouth(mesh_points(), 0.1 * (k % 3)) for k in range(9)])
    view = blank_view(points)
    clip = mouth_view(view.crops, points, np.arange(9) / 25)
    np.testing.assert_allclose(view.shape, clip.shape, atol=1e-6)
    assert view.seen.all() and not view.crops.any() and len(view) == 9


def test_the_best_of_several_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter(
        [
            {"start_s": 2.0 + k, "speech_s": 0.5 / (k + 1), "times": 20.0, "encoder_times": 30.0 + 5 * k}
            for k in range(ear.RUNS)
        ]
    )
    monkeypatch.setattr(ear, "delays", lambda: ["best"])
    monkeypatch.setattr(ear, "run_once", lambda weights, delay: next(runs))
    rows = ear.ear(TargetJob(data=None)).rows
    assert [row.value for row in rows] == [50.0, 20.0, 0.1, 2.0] and [row.met for row in rows] == [
        True,
        None,
        True,
        None,
    ]


@pytest.mark.slow
def test_hearing_is_measured_in_a_process_of_its_own() -> None:
    found = ear.run_once(None, "best")
    assert found["times"] > 1 < found["encoder_times"] and 0 < found["speech_s"] < found["start_s"]
    with pytest.raises(TalkingFaceError, match="nowhere"):
        ear.run_once("nowhere", "best")
