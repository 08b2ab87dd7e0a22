"""The code of the mark: what was said comes back, also through noise; what nobody said does not."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from talkingface.trust.mark import PUBLIC_KEY, VERSION, mark_key, mark_payload
from talkingface.trust.mark.code import CODE_BITS, agreement, decode, encode
from talkingface.trust.mark.pattern import layout

RNG = np.random.default_rng(0)


def test_payloads_come_back_through_noise() -> None:
    for number in [0, (1 << 40) - 1, *RNG.integers(0, 1 << 40, 40).tolist()]:
        payload = VERSION << 40 | number
        sent = encode(payload)
        assert sent.shape == (CODE_BITS,) and set(np.unique(sent)) <= {-1.0, 1.0}
        assert decode(sent) == payload
        assert decode(1e-3 * (sent + RNG.normal(0, 0.8, CODE_BITS))) == payload  # one bit in nine is wrong


def test_marks_agree_with_their_code_and_noise_does_not() -> None:
    payload = mark_payload("job")
    assert agreement(encode(payload) + RNG.normal(0, 0.8, CODE_BITS), payload) > 0.65
    assert abs(agreement(RNG.normal(0, 1, CODE_BITS), payload)) < 0.4
    assert agreement(np.zeros(CODE_BITS), payload) == 0


def test_noise_says_nothing() -> None:
    heard = [decode(RNG.normal(0, 1, CODE_BITS)) for _ in range(300)]
    assert heard.count(None) >= 299  # a checksum of 16 bits


@pytest.mark.parametrize("payload", [-1, 1 << 48, 0, (VERSION + 1) << 40])
def test_payloads_of_other_lengths_and_versions_are_refused(payload: int) -> None:
    with pytest.raises(ValueError, match="48 bits"):
        encode(payload)


def test_a_payload_names_version_and_job() -> None:
    assert mark_payload("one") != mark_payload("two")
    assert mark_payload("one") >> 40 == VERSION
    assert mark_payload("one") & 0xFFFFFFFFFF == int(hashlib.sha256(b"one").hexdigest()[:10], 16)


def test_the_pattern_of_a_key_never_changes() -> None:
    """Old videos stay readable: another pattern is another VERSION."""
    found = layout(PUBLIC_KEY)
    text = found.tile(encode(mark_payload("job"))).astype(np.int8).tobytes() + found.bits.astype("<i2").tobytes()
    assert hashlib.sha256(text).hexdigest() == GOLDEN
    assert (layout(b"other").bits != found.bits).any()


GOLDEN = "65ba4542416fe542475bdeb94565501cf34db46962b7df514836bf69fe7d698b"


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALKINGFACE_MARK_KEY", raising=False)
    assert mark_key() == PUBLIC_KEY
    monkeypatch.setenv("TALKINGFACE_MARK_KEY", "mine")
    assert mark_key() == b"mine"
