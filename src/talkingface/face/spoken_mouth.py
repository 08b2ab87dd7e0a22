"""From what a speech head says (`training.speech_recipe.OUTPUTS`) to mouth coefficients that can be drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkingface.face.mouth_shape import parting, stretching
from talkingface.nn.phones import LIP_CLOSURES, LIP_ON_TEETH, PAUSE

FPS = 25.0
NUM_MOUTH = 16
"""Leading expression columns that belong to the mouth."""
PHONE_DOUBT = 0.25
"""Taken from the probability of /p b m/: real lips meet less surely than the phones are heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRows:
    """What is heard in frames `start` to `start` + T - 1.

    `mouth` [T, M] coefficients before any shaping, `voice` [T] probability of speech, `coming` [T] that there is speech
    within the next seven frames, `closure` [T] that the lips meet, `teeth` [T] that the lower lip touches the upper
    teeth (/f v/), `loudness` [T] in dB and `level` [T] its running reference (see `audio.mel.LevelTracker`).
    `loudest` [T + A]: the loudest bands over that level, going on for the A frames that are heard ahead.
    """

    start: int
    mouth: np.ndarray
    voice: np.ndarray
    coming: np.ndarray
    closure: np.ndarray
    teeth: np.ndarray
    loudness: np.ndarray
    level: np.ndarray
    loudest: np.ndarray


def read_rows(start: int, rows: np.ndarray, loudness: np.ndarray, level: np.ndarray, loudest: np.ndarray) -> SpeechRows:
    """What the numbers `rows` [T, outputs] of a speech head mean; the rest as in `SpeechRows`."""
    logits = rows[:, NUM_MOUTH:-2]
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return SpeechRows(
        start=start,
        mouth=rows[:, :NUM_MOUTH],
        voice=1 - share[:, PAUSE],
        coming=1 / (1 + np.exp(-rows[:, -2])),
        closure=np.maximum(1 / (1 + np.exp(-rows[:, -1])), share[:, list(LIP_CLOSURES)].sum(axis=1) - PHONE_DOUBT),
        teeth=share[:, list(LIP_ON_TEETH)].sum(axis=1),
        loudness=loudness,
        level=level,
        loudest=loudest,
    )


class MouthShaper:
    """From what the network says to mouth coefficients that can be drawn: still and closed in silence, lips that
    meet in /p b m/, never through each other.

    `measures` [3, M]: change of gap, width and jaw per coefficient; `gain` [3]: by how much each of them has to move
    farther, because regression to the mean takes movement away. Of one person: `rest` [M], the mouth in silence, and
    `closed`, the gap of lips that meet; None and 0: those of the neutral face.
    """

    QUIET, SURE = 0.4, 0.8
    """Probabilities of coming speech below which the mouth may rest and above which it moves freely."""
    PATIENCE_FRAMES = 20
    """Pauses up to this long belong to the speech: real mouths do not close in them."""
    FIRST_GAP, FIRST_VOICE = 0.026, 0.7
    """Until speech of this probability is coming the lips part by no more than this: people breathe in before they
    speak, but silence alone opens no mouth."""
    FALL, RISE = 0.08, 0.34
    """How much the mouth comes to rest, and sets off again, per frame."""
    CLOSURE = (0.25, 0.6)
    """Probabilities of lips that meet at which closing begins and is complete."""
    TEETH, TEETH_GAP = (0.1, 0.35), 0.012
    """The same for a lower lip on the upper teeth, and how far the lips part then at most."""

    def __init__(
        self, measures: np.ndarray, gain: np.ndarray, rest: np.ndarray | None = None, closed: float = 0.0
    ) -> None:
        self._stretch, self._towards = stretching(measures, gain), parting(measures)
        self._gap = measures[0].astype(np.float32)
        self._rest = np.zeros(measures.shape[1], np.float32) if rest is None else rest.astype(np.float32)
        self._closed = np.float32(closed)
        self._freedom, self._pause, self._spoken = 1.0, 0, False

    def push(self, rows: SpeechRows) -> np.ndarray:
        """Mouth coefficients float32 [T, M]."""
        freedom, most = np.empty((2, len(rows.coming), 1), np.float32)
        for k, voice in enumerate(_ramp(rows.coming, self.QUIET, self.SURE).tolist()):
            self._spoken |= bool(rows.coming[k] > self.FIRST_VOICE)
            self._pause = 0 if voice > 0.5 else self._pause + 1
            wanted = voice if self._pause > self.PATIENCE_FRAMES else max(voice, self._freedom)
            self._freedom = min(max(wanted, self._freedom - self.FALL), self._freedom + self.RISE)
            freedom[k], most[k] = self._freedom, np.inf if self._spoken else self._closed + self.FIRST_GAP
        mouth = self._rest + (rows.mouth @ self._stretch - self._rest) * freedom
        gap = mouth @ self._gap
        wanted = np.clip(gap, self._closed, most[:, 0])
        wanted -= np.maximum(wanted - (self._closed + self.TEETH_GAP), 0) * _ramp(rows.teeth, *self.TEETH)
        wanted -= (wanted - self._closed) * _ramp(rows.closure, *self.CLOSURE)
        return mouth + (wanted - gap)[:, None] * self._towards


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    x = np.clip((values - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)
