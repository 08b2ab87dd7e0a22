"""Tokens of a trained speech encoder as training material: of clips as they are, as another listener may hear them, and
of sounds that are no speech. Systems whose own network only reads tokens train on these; the encoder stays as it is."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from talkingface.audio.speech_encoder import TOKENS_PER_FRAME, SpeechEncoder
from talkingface.training.augment_speech import played
from talkingface.training.hear_differently import RATE_HZ, Surroundings, music
from talkingface.training.recipe import make_rng
from talkingface.training.speech_recipe import SILENT_FRAMES, SONG_S, SONGS, fitted, heard_columns, silent_row

LEAST_VOICE_S = 2.0
UNHEARD, UNSEEN = 12, 6
"""Frames without a loss at the start and the end of a cut: what they depend on lies outside."""


class TokenSource:
    """Tokens float16 [2 T, width] of the encoder `weights`, among other sounds made of `voices` (float32 [N] each)."""

    def __init__(self, weights: str, voices: Sequence[np.ndarray], seed: int) -> None:
        self._encoder = SpeechEncoder.load(weights)
        self._rest = self._encoder.features(np.zeros(RATE_HZ, np.float32))[-1, -1:]
        self._around = Surroundings([v for v in voices if len(v) >= LEAST_VOICE_S * RATE_HZ], _songs(seed))

    @property
    def width(self) -> int:
        """Numbers in a token."""
        return self._encoder.config.width

    def plain(self, samples: np.ndarray, frames: int) -> np.ndarray:
        """Of speech float32 [N] at 16 kHz, cut or filled up with silence to `frames`."""
        count = frames * RATE_HZ // 25
        padded = np.pad(samples[:count], (0, max(0, count - len(samples))))
        return self._encoder.features(padded).reshape(-1, self.width).astype(np.float16)

    def otherwise(self, samples: np.ndarray, speed: float, frames: int, rng: np.random.Generator) -> np.ndarray:
        """Of speech played at `speed` by another voice, in another room, among other sounds."""
        return self._of(fitted(heard_columns(played(samples, speed), self._around, rng), frames))

    def silence(self, rng: np.random.Generator) -> np.ndarray:
        """Of noise, music without a voice or breath, in which the mouth rests: `speech_recipe.SILENT_FRAMES` frames."""
        return self._of(silent_row(rng, SILENT_FRAMES).values)

    def cut(self, tokens: np.ndarray, weight: np.ndarray, first: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """`frames` frames from `first` on of a clip's tokens [2 T, width] and weights [T], in single precision.

        What follows a clip is silence without weight; frames that depend on what was cut off have none either.
        """
        taken = min(frames, len(weight) - first)
        values = np.tile(self._rest, (TOKENS_PER_FRAME * frames, 1))
        part = tokens[TOKENS_PER_FRAME * first : TOKENS_PER_FRAME * (first + taken)]
        values[: len(part)] = part
        counts = np.zeros(frames, np.float32)
        counts[:taken] = weight[first : first + taken]
        if first:
            counts[:UNHEARD] = 0
        if first + taken < len(weight):
            counts[-UNSEEN:] = 0
        return values, counts

    def _of(self, columns: np.ndarray) -> np.ndarray:
        return self._encoder.column_tokens(columns).astype(np.float16)


@functools.cache
def _songs(seed: int) -> list[np.ndarray]:
    rng = make_rng(seed, 1 << 30)
    return [music(SONG_S * RATE_HZ, rng) for _ in range(SONGS)]
