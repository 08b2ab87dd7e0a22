from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from talkingface.api.evaluation.score import phones
from talkingface.api.evaluation.score.phones import PhoneJob
from talkingface.audio.phones import PhoneSpan, align_phones
from talkingface.audio.read import read_audio
from talkingface.core.cache import cache_dir
from talkingface.core.errors import DependencyError
from talkingface.core.samples import sample
from voices import make_voice

SPANS = [PhoneSpan(phone="P", start_s=0.1, end_s=0.2)]


def _recognised(samples: np.ndarray, *, beside: bool = False) -> list[PhoneSpan]:
    with PhoneJob(samples, beside=beside) as job:
        return job.spans()


def test_speech_is_recognised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def align(samples: np.ndarray) -> list[PhoneSpan]:
        calls.append(len(samples))
        return SPANS

    monkeypatch.setattr("talkingface.audio.phones.align_phones", align)
    first, second = make_voice(1.0, seed=71), make_voice(1.0, seed=72)
    assert _recognised(first) == _recognised(first) == _recognised(second) == SPANS
    assert len(calls) == 2
    for stored in (cache_dir() / "phones").iterdir():
        stored.write_text("{damaged")
    assert _recognised(first) == SPANS and len(calls) == 3


def test_a_process_beside_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    speech = read_audio(sample("speech"), 16000).samples[0][: 3 * 16000]
    expected = align_phones(speech)
    assert len(expected) > 5
    monkeypatch.setattr("talkingface.audio.phones.align_phones", lambda samples: pytest.fail("not beside"))
    assert _recognised(speech, beside=True) == expected
    assert _recognised(speech) == expected  # kept


def test_what_is_not_needed_any_more_ends_at_once() -> None:
    started = time.monotonic()
    with PhoneJob(make_voice(20.0, seed=73), beside=True):
        pass
    assert time.monotonic() - started < 5


def test_a_process_that_fails_leaves_the_work_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones.sys, "executable", "/bin/false" if sys.platform != "win32" else "cmd")

    def missing(samples: np.ndarray) -> list[PhoneSpan]:
        raise DependencyError("phone times need pocketsphinx")

    monkeypatch.setattr("talkingface.audio.phones.align_phones", missing)
    with pytest.raises(DependencyError, match="pocketsphinx"):
        _recognised(make_voice(1.0, seed=74), beside=True)
