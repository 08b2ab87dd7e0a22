"""Speech that arrives in pieces, answered by pictures at once: shipped weights, nothing replaced."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from talkingface import api
from talkingface.core.motion import concatenate
from talkingface.core.samples import sample
from talkingface.core.types import Avatar, Controls

RATE_HZ, PIECE = 16000, 320
AHEAD = 1760
"""Samples from the beginning of a frame on that decide it with a low delay: 0.11 s."""
PLAIN = {"size": 192, "device": "cpu", "delay": "low", "no_mark": "pictures of different jobs are compared"}


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """A second of the shipped speech, from where it has begun."""
    from talkingface.audio.read import read_audio

    return read_audio(sample("speech"), RATE_HZ).samples[0, 6400 : 6400 + RATE_HZ]


@pytest.fixture(scope="module")
def face() -> Avatar:
    return api.fit(sample("portrait"), size=192, device="cpu")


class Microphone:
    """A voice in pieces; `heard` counts the samples that were asked for."""

    def __init__(self, voice: np.ndarray, piece: int = PIECE) -> None:
        self._voice, self._piece, self.heard = voice, piece, 0

    def pieces(self) -> Iterator[np.ndarray]:
        for first in range(0, len(self._voice), self._piece):
            self.heard = min(first + self._piece, len(self._voice))
            yield self._voice[first : first + self._piece]


@pytest.mark.parametrize("marked", (False, True))
def test_a_picture_waits_for_no_more_sound_than_decides_it(face: Avatar, voice: np.ndarray, marked: bool) -> None:
    microphone, count = Microphone(voice), 0
    options = PLAIN | ({"no_mark": None} if marked else {})
    for frames in api.animate(face, microphone.pieces(), **options):
        assert (frames.start, len(frames)) == (count, 1)
        assert microphone.heard <= 640 * count + AHEAD + PIECE - 1
        count += 1
    assert count == 25


@pytest.mark.parametrize("piece", (1, 137, 4000, RATE_HZ))
def test_pictures_do_not_depend_on_the_pieces(face: Avatar, voice: np.ndarray, piece: int) -> None:
    wanted, shown = (
        np.concatenate([frames.rgb for frames in api.animate(face, Microphone(voice, size).pieces(), **PLAIN)])
        for size in (PIECE, piece)
    )
    np.testing.assert_array_equal(shown, wanted)


def test_the_same_motion_gives_the_pictures_of_files(face: Avatar, voice: np.ndarray) -> None:
    system = api.load("portrait", device="cpu")
    motion = concatenate(system.speak(face, iter([voice]), Controls(delay="low")))
    live, stored = (
        np.concatenate([f.rgb for f in system.render(face, iter([motion]), Controls(delay=delay))]).astype(int)
        for delay in ("low", "best")
    )
    assert np.abs(live - stored).max() <= 1


def test_a_stream_that_is_left_leaves_no_threads(face: Avatar, voice: np.ndarray) -> None:
    before = set(threading.enumerate())
    frames = iter(api.animate(face, Microphone(voice).pieces(), **PLAIN))
    next(frames)
    frames.close()
    assert set(threading.enumerate()) == before
