"""Phone alignment against a sentence, and GRID's sentence codes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from talkingface.audio import phones
from talkingface.audio.phones import RATE_HZ, _pauses, align_phones, grid_sentence
from talkingface.audio.read import read_audio
from talkingface.core.samples import sample


def test_grid_codes() -> None:
    assert grid_sentence("bgwh8n") == "bin green with h. eight now"
    assert grid_sentence("lbbc2a") == "lay blue by c. two again"
    with pytest.raises(ValueError, match="no GRID sentence code"):
        grid_sentence("xgwh8n")


def test_noise_has_no_path_through_words_and_does_not_break_the_next_call() -> None:
    pytest.importorskip("pocketsphinx")
    noise = np.random.default_rng(0).normal(0, 0.05, 8000).astype(np.float32)
    for _ in range(2):
        spans = align_phones(noise, "place white with")
        assert all(a.end_s <= b.start_s + 1e-9 for a, b in itertools.pairwise(spans))


def test_long_speech_is_cut_where_it_is_quietest() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 80 * RATE_HZ).astype(np.float32)
    for second in (22, 40, 61):
        samples[second * RATE_HZ : (second + 1) * RATE_HZ] *= 0.01
    cuts = np.array(_pauses(samples)) / RATE_HZ
    assert len(cuts) == 3 and np.abs(cuts - (22.5, 40.5, 61.5)).max() < 0.5
    assert _pauses(samples[: 30 * RATE_HZ]) == []


def test_phones_of_a_later_piece_have_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    speech = read_audio(sample("speech"), RATE_HZ).samples[0][: 4 * RATE_HZ]
    alone = align_phones(speech)
    assert len(alone) > 5
    monkeypatch.setattr(phones, "LONGEST_S", 6)
    both = align_phones(np.concatenate([np.zeros(5 * RATE_HZ, np.float32), speech]))
    vowels = [(span.phone, round(span.start_s - 5, 2)) for span in both if span.phone != "SIL" and span.start_s > 5]
    expected = [(span.phone, round(span.start_s, 2)) for span in alone if span.phone != "SIL"]
    assert len(set(vowels) & set(expected)) > 0.7 * len(expected)
