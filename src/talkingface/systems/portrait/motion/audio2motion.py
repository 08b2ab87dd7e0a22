"""Speech to mouth coefficients: what a head reads off the speech encoder, hop by hop, the same for any split.

How far ahead of a frame is heard depends on the delay: 0.99 s for "best", 0.11 s for "low".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.audio.speech_encoder import HeardFrames, SpeechEncoder
from talkingface.nn.phones import LIP_CLOSURES, LIP_ON_TEETH, PAUSE
from talkingface.nn.speech_encoder_config import SpeechHeadConfig

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
    `loudest` [T + A]: see `HeardFrames`.
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


def speech_rows(
    encoder: SpeechEncoder,
    head: Mapping[str, np.ndarray],
    config: SpeechHeadConfig,
    pieces: Iterable[np.ndarray],
    delay: str,
) -> Iterator[SpeechRows]:
    """Read mono float32 speech at 16 kHz given in pieces of any length by the `head` of a delay.

    The frames cover every frame that begins within the speech; the result does not depend on the pieces.
    """
    for heard in encoder.frames(pieces, head, config, delay):
        yield _to_rows(heard)


def with_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _to_rows(heard: HeardFrames) -> SpeechRows:
    rows = heard.rows
    logits = rows[:, NUM_MOUTH:-2]
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return SpeechRows(
        start=heard.start,
        mouth=rows[:, :NUM_MOUTH],
        voice=1 - share[:, PAUSE],
        coming=1 / (1 + np.exp(-rows[:, -2])),
        closure=np.maximum(1 / (1 + np.exp(-rows[:, -1])), share[:, list(LIP_CLOSURES)].sum(axis=1) - PHONE_DOUBT),
        teeth=share[:, list(LIP_ON_TEETH)].sum(axis=1),
        loudness=heard.loudness,
        level=heard.level,
        loudest=heard.loudest,
    )
