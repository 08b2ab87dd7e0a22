"""Phones and their times, from the English phone recogniser in pocketsphinx's wheel (extra `eval`)."""

from __future__ import annotations

import json
import sys
from dataclasses import astuple, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from talkingface.core.errors import DependencyError

RATE_HZ = 16000
FRAME_S = 0.01
LONGEST_S = 30
_PAUSE_FRAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSpan:
    """A phone: ARPABET name without stress ("SIL" for silence), and its time."""

    phone: str
    start_s: float
    end_s: float


# Recognising needs one pass and few candidates: twice as fast, and its words are aligned where those of the full
# search often find no path. Measured on read speech.
_FAST = {"bestpath": False, "fwdflat": False, "maxhmmpf": 3000, "maxwpf": 5, "pl_window": 10}


@lru_cache(maxsize=2)
def _decoder(*, recognise: bool) -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise DependencyError(
            "phone times need pocketsphinx; install it with: pip install talkingface[eval]"
        ) from error
    return Decoder(loglevel="FATAL", samprate=RATE_HZ, **(_FAST if recognise else {}))


def align_phones(samples: np.ndarray, words: str | None = None) -> list[PhoneSpan]:
    """Phones of mono speech float32 [N] at 16 kHz, in order; empty if the recogniser finds no path.

    With `words` (lower case, in the dictionary) they are aligned; otherwise English is recognised first, in pieces of
    at most half a minute, between which the speaker is quietest. The times are those of a recogniser's 10 ms frames,
    good to about 20 ms.
    """
    if words is not None:
        return _align(samples, words, 0)
    edges = [0, *_pauses(samples), len(samples)]
    return [span for start, end in pairwise(edges) for span in _align(samples[start:end], None, start)]


def _pauses(samples: np.ndarray) -> list[int]:
    """Where long speech is cut. The recogniser's memory grows with an utterance, 5 MB a second."""
    hop, cuts, start = RATE_HZ // 100, [], 0
    while len(samples) - start > LONGEST_S * RATE_HZ:
        part = samples[start + LONGEST_S * RATE_HZ // 2 : start + LONGEST_S * RATE_HZ].astype(np.float64)
        level = (part[: len(part) // hop * hop].reshape(-1, hop) ** 2).mean(1)
        quiet = int(np.argmin(np.convolve(level, np.ones(_PAUSE_FRAMES), "same")))
        start += LONGEST_S * RATE_HZ // 2 + quiet * hop
        cuts.append(start)
    return cuts


def _align(samples: np.ndarray, words: str | None, first: int) -> list[PhoneSpan]:
    """Phones of one utterance, which begins at sample `first`."""
    decoder = _decoder(recognise=words is None)
    data = (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()
    if words is None:
        decoder.activate_search()
        _run(decoder, data)
        hypothesis = decoder.hyp()
        words = "" if hypothesis is None else hypothesis.hypstr.strip()
    if not words:
        return []
    try:
        decoder.set_align_text(words)
        _run(decoder, data)
        decoder.set_alignment()
        _run(decoder, data)
        alignment = decoder.get_alignment()
    except RuntimeError:
        return []  # no path through the sentence
    finally:
        decoder.activate_search()
    begin = round(first / RATE_HZ / FRAME_S)
    return [
        PhoneSpan(
            phone=phone.name,
            start_s=(begin + phone.start) * FRAME_S,
            end_s=(begin + phone.start + phone.duration) * FRAME_S,
        )
        for word in alignment or ()
        for phone in word
    ]


def _run(decoder: Any, data: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(data, full_utt=True)
    decoder.end_utt()


def main() -> None:
    """`python -m talkingface.audio.phones`: float32 samples on standard input, [phone, start, end] as JSON on standard
    output. The recogniser holds the interpreter lock, so only a process of its own runs beside other work."""
    spans = align_phones(np.frombuffer(sys.stdin.buffer.read(), np.float32))
    json.dump([astuple(span) for span in spans], sys.stdout)


GRID_WORDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", 
     "8": "eight", "9": "nine"},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)  # fmt: skip
"""What each letter of a GRID clip's name means (Cooke et al. 2006)."""


def grid_sentence(code: str) -> str:
    """The words of a GRID sentence code: "bgwh8n" -> "bin green with h. eight now" (letters as in the dictionary).

    Raises ValueError if the code is none.
    """
    if len(code) != len(GRID_WORDS) or any(letter not in words for letter, words in zip(code, GRID_WORDS, strict=True)):
        raise ValueError(f"{code!r} is no GRID sentence code")
    spoken = [words[letter] for letter, words in zip(code, GRID_WORDS, strict=True)]
    spoken[3] = f"{spoken[3]}."
    return " ".join(spoken)


if __name__ == "__main__":
    main()
