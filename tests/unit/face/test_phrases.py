"""What is heard of phrases: their beginnings and ends, breath after long pauses, stressed syllables."""

from __future__ import annotations

import numpy as np

from talkingface.face.phrases import KINDS, PAUSE_FRAMES, PhraseFollower


def heard(loudest: np.ndarray) -> list[tuple[str, int, int]]:
    """Kind, frame, and the frame at which it was certain."""
    follower = PhraseFollower()
    return [
        (KINDS[event.kind], event.frame, now)
        for now, value in enumerate(loudest.tolist())
        for event in follower.push(value)
    ]


def test_phrases_begin_and_end_where_they_do() -> None:
    loudest = np.full(200, -60.0)
    loudest[40:80], loudest[90:130] = -10, -10
    loudest[60:63] = -60  # a stop within a word
    loudest[150] = -10  # a click
    found = [entry for entry in heard(loudest) if entry[0] != "stress"]
    assert [entry[:2] for entry in found] == [
        ("start", 40), ("breath", 40), ("end", 80), ("start", 90), ("end", 130),
    ]  # fmt: skip
    assert all(0 < now - frame < PAUSE_FRAMES for _, frame, now in found)


def test_a_stress_stands_out_of_its_phrase() -> None:
    loudest = np.full(150, -12.0)
    loudest[70:75] = [-8, -3, -1, -4, -9]
    stresses = [frame for kind, frame, _ in heard(loudest) if kind == "stress"]
    assert stresses == [72]


def test_stresses_are_no_more_than_three_a_second() -> None:
    loudest = -10 + 12 * np.sin(np.arange(500) * 2 * np.pi / 4)
    stresses = [frame for kind, frame, _ in heard(loudest) if kind == "stress"]
    assert len(stresses) > 20 and np.diff(stresses).min() >= 8


def test_a_steady_noise_is_one_phrase_without_stresses() -> None:
    noise = np.random.default_rng(0).normal(-9, 0.5, 500)
    assert [kind for kind, _, _ in heard(noise)] == ["start", "breath"]
