"""Sound and motion handed over as Python objects: what is natural works, everything else is one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import talkingface
from talkingface.core.errors import TalkingFaceError
from talkingface.core.types import Audio

pytestmark = pytest.mark.usefixtures("meter")


def _frames(photo: Path, speech: object) -> np.ndarray:
    made = talkingface.animate(photo, speech, system="meter", device="cpu", no_mark="compared")  # type: ignore[arg-type]
    return np.concatenate([piece.rgb for piece in made])


def test_a_voice_as_one_array_in_any_layout(photo: Path, voice: np.ndarray) -> None:
    expected = _frames(photo, iter([voice]))
    frozen = voice.copy()
    frozen.flags.writeable = False
    strided = np.repeat(voice, 2)[::2]
    halves = [voice[:5000].astype(np.float64), np.zeros(0, np.float32), voice[5000:]]
    for speech in (voice, frozen, strided, halves, iter(halves), Audio(samples=frozen[None], rate_hz=16000)):
        np.testing.assert_array_equal(_frames(photo, speech), expected)


@pytest.mark.parametrize(
    ("speech", "problem"),
    [
        (np.zeros((2, 8000), np.float32), r"mono: arrays float32 \[N\].*not float32 \[2, 8000\]; give an Audio"),
        (np.zeros(8000, np.int16), "not int16"),
        (np.zeros(8000, complex), "not complex128"),
        (np.zeros(8000, object), "not object"),
        ([[0.0, 0.1], [0.2, 0.3]], "not list"),
        ([0.0, 0.1, 0.2], "not float"),
        (np.zeros(0, np.float32), "only 0.00 s long"),
        ([], "only 0.00 s long"),
        (np.full(8000, np.nan, np.float32), "not numbers"),
        (np.full(8000, 3e4, np.float32), "divide 16-bit samples by 32768"),
        (np.full(8000, 1e30), "divide 16-bit samples by 32768"),
        (b"RIFF", "not bytes"),
        (3.5, "not float"),
    ],
)
def test_other_sound_is_refused_and_the_next_good_one_works(
    photo: Path, voice: np.ndarray, speech: object, problem: str
) -> None:
    with pytest.raises(TalkingFaceError, match=problem):
        _frames(photo, speech)
    assert len(_frames(photo, voice)) == 40


@pytest.mark.parametrize(
    ("samples", "rate_hz", "problem"),
    [
        (np.zeros(8000, np.float32), 16000, r"float32 \[channels, N\], not float32 \[8000\]"),
        (np.zeros((1, 8000)), 16000, "not float64"),
        ([[0.0]], 16000, "not list"),
        (np.zeros((0, 8000), np.float32), 16000, r"not float32 \[0, 8000\]"),
        (np.broadcast_to(np.float32(0), (1, 10**12)), 16000, "not float32"),
        (np.zeros((1, 8000), np.float32), 0, "rate_hz must be"),
        (np.zeros((1, 8000), np.float32), 16000.5, "rate_hz must be"),
        (np.full((1, 8000), np.inf, np.float32), 16000, "not finite"),
        (np.full((1, 8000), -2e4, np.float32), 16000, "divide 16-bit samples"),
    ],
)
def test_audio_is_checked(samples: object, rate_hz: object, problem: str) -> None:
    with pytest.raises(TalkingFaceError, match=problem):
        Audio(samples=samples, rate_hz=rate_hz)  # type: ignore[arg-type]


def test_motion_of_another_kind_is_refused(photo: Path) -> None:
    for motion in (np.zeros((3, 20), np.float32), {"expression": 1}, None):
        with pytest.raises(TalkingFaceError, match="motion comes as a Motion or the path of a motion file"):
            talkingface.render(photo, motion, system="meter")  # type: ignore[arg-type]
