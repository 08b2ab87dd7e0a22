"""`bench --what closures` and `rounding`, on made-up phones and mouths."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.motion import phones
from benchmarks.motion.phones import _in_both, _rounded, _sentence, closure_rows, rounding_rows, span_means
from benchmarks.motion.speaking import SpokenClip
from benchmarks.targets import TargetJob
from talkingface.audio.phones import PhoneSpan


def span(phone: str, start_s: float, end_s: float) -> PhoneSpan:
    return PhoneSpan(phone=phone, start_s=start_s, end_s=end_s)


def test_words_are_known_from_names_that_tell() -> None:
    assert _sentence("grid_sx_lbbc2a") == "lay blue by c. two again"
    assert _sentence("grid_dp_man_800ms") is None and _sentence("word_bag") is None


def test_a_sound_s_measures_are_taken_while_it_lasts() -> None:
    measures = np.zeros((50, 3))
    measures[10:21, 1] = 1.0
    means = span_means(measures, [span("UW", 0.4, 0.8), span("UW", 1.2, 1.4), span("UW", 1.9, 2.1)], ("UW", "OW"))
    np.testing.assert_allclose(means[:, 1], [1, 0], err_msg="the last one reaches beyond the clip")
    assert span_means(measures, [], ("UW",)).shape == (0, 3)


def score(true: float, share: float, *, sounds: int = 4) -> dict[str, float]:
    return {
        "rounded": sounds,
        "spread": sounds,
        "true_width": true,
        "generated_width": share * true,
        "true_gap": 0.1,
        "generated_gap": 0.1,
    }


def test_rounding_is_the_share_of_the_speakers_own_difference() -> None:
    measures = np.zeros((50, 3))
    measures[:, 1] = np.where(np.arange(50) < 25, 0.5, 0.7)  # narrow lips first
    found = _rounded(measures, [span("OW", 0.2, 0.6), span("S", 1.2, 1.4), span("IY", 1.5, 1.7)])
    assert (found["rounded"], found["spread"]) == (1, 2) and found["width"] == pytest.approx(-0.2)
    nothing = score(-0.4, 9.0) | {"spread": 0}
    rows = list(rounding_rows("all", [score(-0.1, 0.5), score(-0.3, 0.9), nothing]))
    assert rows[0].value == pytest.approx((0.05 + 0.27) / 0.4) and rows[0].met is True
    assert "8 and 8 sounds in 2 clips" in rows[0].name and rows[1].value == pytest.approx(-0.2)
    assert next(rounding_rows("all", [score(-0.1, 0.5)])).met is False
    assert next(rounding_rows("all", [score(-0.1, 0.5)], promised=False)).met is None
    heavy = next(rounding_rows("all", [score(-0.1, 0.5, sounds=400), score(-0.1, 1.5)])).value
    assert heavy is not None and heavy < 0.52, "a clip counts by what it says"
    assert not list(rounding_rows("none", [nothing]))


def test_closures_count_beside_the_real_mouths() -> None:
    one = {"generated_lips": [0.0, 0.01], "true_lips": [0.01, 0.05], "generated_teeth": [0.025, 0.1]}
    one |= {"true_teeth": [0.02, 0.02], "generated_vowels": [0.2, 0.2], "true_vowels": [0.1, 0.2]}
    rows = {row.name: row for row in closure_rows("all", [one, one])}
    assert rows["all: /p b m/ that close (4)"].met is True and rows["all: /f v/ that are narrow (4)"].value == 0.5
    assert [row.value for row in rows.values() if "real" in row.name] == [0.5, 1.0]
    vowels = rows["all: open-vowel gap over the speakers', less one (4)"]
    assert vowels.value == pytest.approx(1 / 3) and vowels.met is False
    heard = {row.name: row for row in closure_rows("all", [one | {"generated_lips": [0.0, 0.3]}], recognised=True)}
    assert heard["all: /p b m/ that close (2)"].met is None and heard["all: /p b m/ that close (2)"].value == 0.5
    assert heard["all: /p b m/ that close where the real mouth does"].met is True
    assert heard["all: /f v/ that are narrow where the real mouth does"].met is False
    assert not list(closure_rows("none", []))


def test_both_mouths_are_asked_about_the_same_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    t = np.arange(100)
    made = np.stack([np.sin(t / 5), np.cos(t / 5), t / 100], axis=1)
    clip = SpokenClip(
        slug="grid_sx_lbbc2a",
        person="ann",
        split="val",
        group="video",
        language="en",
        known=False,
        samples=np.zeros(64000, np.float32),
        measures=np.roll(made, 3, axis=0),
        neutral=np.zeros((478, 3)),
    )
    speaker = SimpleNamespace(model=None, measures=lambda *_: made)
    monkeypatch.setattr(phones, "open_speaker", lambda job: speaker)
    monkeypatch.setattr(phones, "spoken_clips", lambda *_, **__: [clip])
    monkeypatch.setattr(
        phones, "phones_of", lambda clip: [span("P", 0.2, 0.4), span("B", 2.0, 2.1), span("M", 3.9, 3.94)]
    )
    rows = phones.closures(TargetJob(data=None)).details["clips"]
    assert len(rows) == len(phones.delays())
    assert rows[0]["offset"] == 3 and len(rows[0]["true_lips"]) == 2, "one is seen after the end of the clip"
    np.testing.assert_allclose(rows[0]["generated_lips"], rows[0]["true_lips"], atol=1e-6)


def test_sounds_are_looked_at_where_both_mouths_are_seen() -> None:
    heard, seen = _in_both([span("P", 0.05, 0.1), span("B", 0.5, 0.6), span("M", 1.8, 2.0)], -0.08, 1.96)
    assert [s.phone for s in heard] == [s.phone for s in seen] == ["B"]
    assert (seen[0].start_s, seen[0].end_s) == (pytest.approx(0.42), pytest.approx(0.52))
