"""Phrases and stressed syllables of a voice, heard from its loudness frame by frame as it arrives."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("stress", "end", "start", "breath")
"""A stressed syllable, the end and the beginning of a phrase, and the beginning after a long pause: speakers breathe in
before it."""
SPEAKING_DB = -26.0
"""Loudness of the loudest bands over the voice's level from which someone speaks: what agrees best with phones heard by
the speech encoder (91 % of frames)."""
START_FRAMES, PAUSE_FRAMES, BREATH_FRAMES = 3, 5, 15
"""What is heard for so long begins a phrase, what is quiet for so long ends one; pauses from the last on are long."""
WHOLE_PHRASE_FRAMES = 25
"""The end of a shorter phrase counts less."""
STRESS_DB, STRONG_DB, STRESS_APART_FRAMES = 3.0, 6.0, 8
"""By how much a stressed syllable exceeds the running mean of speech, what counts as a whole one, and how far two are
apart."""
_MEAN_RATE = 0.05  # of the running mean, a frame


@dataclass(frozen=True, slots=True)
class Event:
    """Something heard: its number in `KINDS`, the frame at which it was, and how much of one it is, up to 1.5."""

    kind: int
    frame: int
    weight: float


class PhraseFollower:
    """Finds events a few frames after they were: `PAUSE_FRAMES` for the end of a phrase, two for a stress."""

    def __init__(self) -> None:
        self._frame = -1
        self._run, self._quiet, self._in_phrase = 0, 0, False
        self._start, self._end = 0, -WHOLE_PHRASE_FRAMES
        self._recent = [SPEAKING_DB - STRONG_DB] * 5
        self._mean = -10.0
        self._stressed = -STRESS_APART_FRAMES

    def push(self, loudest: float) -> list[Event]:
        """The events that the next frame makes certain; `loudest` in dB over the voice's level."""
        self._frame += 1
        return self._follow_phrase(loudest > SPEAKING_DB) + self._find_stress(loudest)

    def _follow_phrase(self, spoken: bool) -> list[Event]:
        self._run, self._quiet = (self._run + 1, 0) if spoken else (0, self._quiet + 1)
        if not self._in_phrase and self._run == START_FRAMES:
            self._in_phrase, self._start = True, self._frame - START_FRAMES + 1
            found = [Event(KINDS.index("start"), self._start, 1.0)]
            if self._start - self._end >= BREATH_FRAMES:
                found.append(Event(KINDS.index("breath"), self._start, 1.0))
            return found
        if self._in_phrase and self._quiet == PAUSE_FRAMES:
            self._in_phrase, self._end = False, self._frame - PAUSE_FRAMES + 1
            return [Event(KINDS.index("end"), self._end, min((self._end - self._start) / WHOLE_PHRASE_FRAMES, 1.0))]
        return []

    def _find_stress(self, loudest: float) -> list[Event]:
        self._recent = [*self._recent[1:], loudest]
        if loudest > SPEAKING_DB:
            self._mean += _MEAN_RATE * (loudest - self._mean)
        a, b, c, d, e = self._recent
        before, now, after = a + 2 * b + c, b + 2 * c + d, c + 2 * d + e
        above, frame = now / 4 - self._mean, self._frame - 2
        if not (before < now >= after and above > STRESS_DB and frame - self._stressed >= STRESS_APART_FRAMES):
            return []
        self._stressed = frame
        return [Event(KINDS.index("stress"), frame, min(above / STRONG_DB, 1.5))]
