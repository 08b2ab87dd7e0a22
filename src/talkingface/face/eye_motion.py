"""Eyes while someone speaks: blinks and shifts of gaze at random moments, likelier at some points of what is said."""

from __future__ import annotations

import numpy as np

FPS = 25.0
BLINKS_PER_MINUTE = 17.0
SHORTEST_PAUSE_FRAMES = 20
"""Between the starts of two blinks, up to four times the natural rate; beyond it the pauses become shorter."""
LARGEST_PAUSE_SHARE = 0.907
"""How much of the mean time between blinks that pause may take; without a bound none would be left at 4.4 times."""
PHRASE_END_BIAS = 5.0
"""Without learned rates: how much faster a blink comes up in the half second after a phrase."""
WITHIN_PHRASE_BIAS = 0.5
"""The same within a phrase: on real speech the mean rate stays."""
REGULARITY = 3.0
"""Shape of the gamma distribution of the time between events; 1 would be pure chance."""
RATES = (0.15, 6.0)
"""Least and largest learned factor of a rate."""
SHIFTS_PER_MINUTE = 34.0
"""Of gaze. Trackers see twice as many, of which half are their noise."""
SHORTEST_FIXATION_FRAMES = 9
BACK_SHARE = 0.55
"""How many shifts lead from elsewhere back to where the eyes rest: to the listener."""
FIRST_FRAME_SHARE = 0.7
"""Of a shift, which takes two frames."""
FARTHEST_RAD = 0.21


class Recurrence:
    """Something that happens again and again, `per_minute` on average, never within `pause` frames; seeded."""

    def __init__(self, random: np.random.Generator, per_minute: float, pause: float) -> None:
        self._random = random
        self._pause = min(pause, LARGEST_PAUSE_SHARE * 60 * FPS / max(per_minute, 1e-6))
        self._pace = per_minute / (60 * FPS - per_minute * self._pause)
        self._ripe, self._limit = 0.0, random.gamma(REGULARITY) / REGULARITY
        self._since = round(pause)

    def push(self, factor: float) -> int:
        """Frames since it last happened, at the next one, in which its rate is `factor` times the mean."""
        self._since += 1
        if self._since >= self._pause:
            self._ripe += self._pace * factor
        if self._ripe >= self._limit:
            self._since, self._ripe, self._limit = 0, 0.0, self._random.gamma(REGULARITY) / REGULARITY
        return self._since


class Blinks:
    """Random blinks with a learned profile of closure; without learned rates likelier just after a phrase."""

    def __init__(self, profile: np.ndarray, random: np.random.Generator, rate: float) -> None:
        self._profile = profile.astype(np.float64)
        self._blinks = Recurrence(random, rate * BLINKS_PER_MINUTE, SHORTEST_PAUSE_FRAMES)
        self._voiced = 0.0
        self._after_phrase = 1000

    def push(self, voice: float, factor: float | None) -> float:
        """Closure [0, 1] at the next frame, whose probability of voice and learned factor of the rate are given."""
        was = self._voiced
        self._voiced = 0.85 * was + 0.15 * voice
        self._after_phrase = 0 if was >= 0.5 > self._voiced else self._after_phrase + 1
        if factor is None:
            bias = WITHIN_PHRASE_BIAS if self._voiced >= 0.5 else 1.0
            factor = PHRASE_END_BIAS if self._after_phrase < FPS / 2 else bias
        since = self._blinks.push(factor)
        return float(self._profile[since]) if since < len(self._profile) else 0.0


class Gaze:
    """Eyes that rest on the listener, look elsewhere for a while and come back.

    `spread` [2]: standard deviation of where they look, radians to the right and down.
    """

    def __init__(self, spread: np.ndarray, random: np.random.Generator) -> None:
        self._spread, self._random = spread.astype(np.float64), random
        self._shifts = Recurrence(random, SHIFTS_PER_MINUTE, SHORTEST_FIXATION_FRAMES)
        self._from, self._to = np.zeros(2), np.zeros(2)

    def push(self, factor: float) -> np.ndarray:
        """A row of `Motion.gaze` [2], at the next frame, in which a shift is `factor` times as likely as usual."""
        since = self._shifts.push(factor)
        if since == 0:
            self._from, self._to = self._to, self._next()
        return self._from + FIRST_FRAME_SHARE * (self._to - self._from) if since == 0 else self._to

    def _next(self) -> np.ndarray:
        away, step = self._random.random() >= BACK_SHARE, self._random.standard_normal(2)
        # those who look elsewhere look about as far as they mostly do; those who look back do not meet the same point
        aim = self._spread * step * (1.6 if away or not self._to.any() else 0.25)
        return FARTHEST_RAD * np.tanh(aim / FARTHEST_RAD)
