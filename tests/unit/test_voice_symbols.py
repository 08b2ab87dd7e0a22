"""Symbols of a speech synthesiser to phones with times."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.voice_symbols import EARLY_S, PHONE_OF, RATE_HZ, pinyin, silenced, timed_phones
from talkingface.nn.phones import PHONES


def test_every_symbol_is_a_known_phone() -> None:
    assert set(PHONE_OF.values()) == set(PHONES) - {"pau"}


def test_marks_and_stress_belong_to_their_phones() -> None:
    phones = timed_phones("bˈiː pʰɜɹ.", np.array([8, 2, 5, 4, 2, 5, 2, 1, 4, 2, 4, 2]))
    assert [name for name, _ in phones] == ["pau", "b", "iy", "p", "er", "pau", "pau"]
    ends = dict(phones[:-1])
    assert ends["b"] == pytest.approx(0.25 + 0.2 * 0.125 - EARLY_S)
    assert ends["iy"] == pytest.approx(0.525 + 0.3 * 0.125 - EARLY_S)
    assert ends["er"] == pytest.approx(0.875 - EARLY_S)
    assert phones[-1] == ("pau", pytest.approx(1.025))


def test_pauses_are_where_nothing_is_heard() -> None:
    loud = np.zeros(RATE_HZ)
    loud[1600:6400] = 0.5
    loud[11200:14400] = 0.5
    phones = [("pau", 0.05), ("m", 0.3), ("z", 0.6), ("p", 0.7), ("aa", 0.9), ("pau", 1.0)]
    assert [name for name, _ in silenced(phones, loud)] == ["pau", "m", "z", "pau", "p", "aa", "pau"]
    ends = dict(silenced(phones, loud))
    assert ends["z"] == pytest.approx(0.4, abs=0.02) and ends["p"] == pytest.approx(0.7, abs=0.02)


def test_pinyin_is_read() -> None:
    assert pinyin("zhi1 yuan2 you3 ju4 shui3 er4") == "ꭧɨ→ ɥɛn↗ jO↓ ʨy↘ ʂwA↓ ɚ↘"
