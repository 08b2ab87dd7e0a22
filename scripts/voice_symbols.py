"""Texts to the symbols that Kokoro reads, and its symbols and their lengths to phones with times."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Sequence

import numpy as np

from talkingface.audio.phones import RATE_HZ

UNIT_S = 0.025
EARLY_S = 0.055
"""Phones end so much earlier than the model's units say, measured by aligning phones to English sentences (by
`audio.phones.align_phones`, whose own error on flite's speech was taken off)."""
DIVIDED = {" ": 0.3, "ˈ": 0.2, "ˌ": 0.2}
"""The part of such a symbol that belongs to the phone before it, measured likewise."""
STEP_MS = 5
PAUSE_MS = 90
"""From here on, quiet is silence, but within stops, which may be closed for up to:"""
CLOSED_MS = 100
QUIET = 10**-4.5
"""Of the loudest 20 ms' power."""
STOPS = ("p", "b", "t", "d", "k", "g", "ch", "jh")
JOINED = {
    "a^ɪ": "I", "a^ʊ": "W", "a^i": "I", "a^u": "W", "e^ɪ": "A", "e^i": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y",
    "t^ʃ": "ʧ", "d^ʒ": "ʤ", "t^s": "ʦ", "d^z": "ʣ", "t^ɕ": "ʨ", "d^ʑ": "ʥ", "ə^l": "ᵊl", "n\u0329": "ᵊn", "ʑ": "ʒ",
    "l\u0329": "ᵊl", "r.": "ɽ", "t.": "ʈ", "d.": "ɖ", "s.": "ʂ", "n.": "ɳ",
    "c\u0327": "ç", "\u0308": "", "\u031e": "", "-": "", "^": "",
}  # fmt: skip
"""What espeak-ng writes -> what Kokoro reads."""
OF_LANGUAGE = {
    "en-us": {"ɚɹ": "əɹ", "ɚ": "əɹ", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ː": "", "ɐ": "ə", "r": "ɹ", "ɾ": "T",
              "ʔ": "t", "o": "ɔ", "e": "A"},
    "en-gb": {"ɐ": "ə", "r": "ɹ", "ʔ": "t", "eə": "ɛː", "o": "ɔ", "e": "ɛ"},
    "hi": {"c": "ʧ", "ɟ": "ʤ"},
    "ja": {"ᵝ": ""},
}  # fmt: skip
INITIALS = {
    "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "b": "p", "p": "pʰ", "d": "t", "t": "tʰ", "g": "k", "k": "kʰ", "h": "x", "j": "ʨ",
    "q": "ʨʰ", "x": "ɕ", "r": "ɻ", "z": "ʦ", "c": "ʦʰ", "m": "m", "f": "f", "n": "n", "l": "l", "s": "s", "": "",
}  # fmt: skip
FINALS = {
    "a": "a", "o": "wo", "e": "ɤ", "ai": "I", "ei": "A", "ao": "W", "ou": "O", "an": "an", "en": "ən", "ang": "aŋ",
    "eng": "əŋ", "ong": "ʊŋ", "er": "ɚ", "i": "i", "ia": "ja", "ie": "je", "iao": "jW", "iu": "jO", "ian": "jɛn",
    "in": "in", "iang": "jaŋ", "ing": "iŋ", "iong": "jʊŋ", "u": "u", "ua": "wa", "uo": "wo", "uai": "wI", "ui": "wA",
    "uan": "wan", "un": "wən", "uang": "waŋ", "v": "y", "ve": "ɥe", "van": "ɥɛn", "vn": "yn", "ueng": "wəŋ",
    "iou": "jO", "uei": "wA", "uen": "wən",
}  # fmt: skip
"""Mandarin's syllables in pinyin (ü is v)."""
TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}

PHONE_OF = {
    symbol: phone
    for phone, symbols in {
        "aa": "aɑ", "ae": "æ", "ah": "əɐʌᵊɤ", "ao": "ɔɒœ", "aw": "W", "ay": "I", "b": "b", "ch": "ʧʨꭧ", "d": "dɖɾTɽ",
        "dh": "ð", "eh": "eɛ", "er": "ɚɜ", "ey": "A", "f": "fɸ", "g": "ɡɣʁ", "hh": "hxçχ", "ih": "ɪɨᵻ", "iy": "i",
        "jh": "ʤʥɟ", "k": "kcq", "l": "lʎr", "m": "m", "n": "nɳɲ", "ng": "ŋɴ", "ow": "oOQø", "oy": "Y", "p": "p",
        "r": "ɹɻ", "s": "sʦ", "sh": "ʃɕʂS", "t": "tʈʔ", "th": "θ", "uh": "ʊɯ", "uw": "uy", "v": "vβʋ", "w": "wɥ",
        "y": "jʝ", "z": "zʣ", "zh": "ʒ",
    }.items()
    for symbol in symbols
}  # fmt: skip
"""Kokoro's symbols -> phones; sounds English lacks are given what looks most like them."""
SILENT = frozenset('$,.;:!?—…"“”()')


def symbols_of(text: str, language: str) -> str:
    """The symbols Kokoro reads for a text (Mandarin in pinyin with tone numbers)."""
    parts = re.split(r"\s*([,.;:!?।、。¿¡]+)\s*", text)
    pieces = []
    for k, part in enumerate(parts):
        if k % 2:
            pieces.append(", " if part[0] in ",;:、" else "? " if "?" in part else "! " if "!" in part else ". ")
        elif part:
            pieces.append(pinyin(part) if language == "zh" else espeak(part, language))
    return "".join(pieces).strip().removeprefix(". ").strip()


def espeak(text: str, language: str) -> str:
    command = ["espeak-ng", "-v", language, "-q", "--ipa", "--tie=^", text]
    spoken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spoken = unicodedata.normalize("NFD", " ".join(spoken.split()))
    spoken = re.sub(r"\(.*?\)", "", spoken)  # marks of a change of language
    for old, new in (JOINED | OF_LANGUAGE.get(language, {})).items():
        spoken = spoken.replace(old, new)
    return spoken


def pinyin(text: str) -> str:
    """Symbols of Mandarin syllables such as "zhong1"."""
    words = []
    for syllable in text.split():
        letters, tone = syllable[:-1], syllable[-1]
        for spelling, sound in (("^yu", "v"), ("^yi?", "i"), ("^wu?", "u")):
            letters = re.sub(spelling, sound, letters)
        initial = next(name for name in INITIALS if letters.startswith(name))
        final = letters.removeprefix(initial)
        if initial in ("j", "q", "x"):
            final = re.sub("^u", "v", final)
        vowel = "ɨ" if final == "i" and initial in ("zh", "ch", "sh", "r", "z", "c", "s") else FINALS[final]
        words.append(INITIALS[initial] + vowel + TONES[tone])
    return " ".join(words)


def timed_phones(symbols: str, units: np.ndarray) -> list[tuple[str, float]]:
    """Phones and when they end, in seconds. What marks a symbol (length, breath, nasality, tone) lasts with it; what
    precedes a phone (stress, the space before a word) is divided between the phones."""
    phones: list[tuple[str, float]] = [("pau", 0.0)]
    end = 0.0
    for symbol, length in zip(f"${symbols}$", units * UNIT_S, strict=True):
        end += float(length)
        last, last_end = phones[-1]
        if symbol in DIVIDED:
            phones[-1] = (last, last_end + DIVIDED[symbol] * float(length))
        elif symbol == "ɹ" and last in ("er", "ah"):
            phones[-1] = ("er", end)
        elif symbol in SILENT or symbol in PHONE_OF:
            phones.append((PHONE_OF.get(symbol, "pau"), end))
        else:
            phones[-1] = (last, end)
    return [(phone, max(0.0, at - EARLY_S)) for phone, at in phones[1:-1]] + [("pau", end)]


def silenced(phones: Sequence[tuple[str, float]], samples: np.ndarray) -> list[tuple[str, float]]:
    """Phones with silence where it is heard: the model counts much of a pause to the sound before it, and some
    punctuation is no pause. Stops stay, as long as they may be closed."""
    ends = np.round(np.array([end for _, end in phones]) * 1000 / STEP_MS).astype(int)
    length = RATE_HZ * STEP_MS // 1000
    power = np.convolve(samples[: ends[-1] * length] ** 2, np.ones(4 * length), "same")[length // 2 :: length]
    loud = power > power.max() * QUIET
    labels = np.repeat([phone for phone, _ in phones], np.diff(ends, prepend=0))[: len(loud)]
    starts = np.repeat(ends - np.diff(ends, prepend=0), np.diff(ends, prepend=0))[: len(loud)]
    age = (np.arange(len(loud)) - starts) * STEP_MS
    for run in np.split(np.arange(len(loud)), np.flatnonzero(np.diff(loud)) + 1):
        spoken = run[labels[run] != "pau"]
        if loud[run[0]] and len(spoken):
            labels[run] = labels[spoken[np.abs(run[:, None] - spoken).argmin(1)]]
        elif not loud[run[0]] and len(run) * STEP_MS >= PAUSE_MS:
            closed = np.minimum(age[run], (run[-1] - run) * STEP_MS) < CLOSED_MS
            labels[run[~(np.isin(labels[run], STOPS) & closed)]] = "pau"
    last = np.append(np.flatnonzero(labels[1:] != labels[:-1]), len(labels) - 1)
    return [(str(labels[k]), float((k + 1) * STEP_MS / 1000)) for k in last]
