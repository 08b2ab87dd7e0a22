from __future__ import annotations

import numpy as np
import pytest

from talkingface.api.evaluation_motion import Figures, cached_phones
from talkingface.audio.phones import PhoneSpan
from talkingface.core.cache import cache_dir
from voices import make_voice


def test_speech_is_recognised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    spans = [PhoneSpan(phone="P", start_s=0.1, end_s=0.2)]

    def align(samples: np.ndarray) -> list[PhoneSpan]:
        calls.append(len(samples))
        return spans

    monkeypatch.setattr("talkingface.audio.phones.align_phones", align)
    first, second = make_voice(1.0, seed=71), make_voice(1.0, seed=72)
    assert cached_phones(first) == cached_phones(first) == cached_phones(second) == spans
    assert len(calls) == 2
    for stored in (cache_dir() / "phones").iterdir():
        stored.write_text("{damaged")
    assert cached_phones(first) == spans and len(calls) == 3


def test_a_figure_that_is_not_a_number_is_a_gap() -> None:
    figures = Figures()
    figures.put("a", 1.0, np.zeros(3))
    figures.put("b", float("nan"), np.zeros(3), reason="too short")
    assert figures.metrics == {"a": 1.0} and figures.gaps == {"b": "too short"} and set(figures.per_frame) == {"a"}
