"""Speech features that know speech: what the encoder of `speech_encoder.v1` hears, whole or as a stream, in NumPy.

Log-mel columns every 10 ms, relative to the voice's running level, become tokens of 384 numbers every 20 ms. How far
ahead a token hears is a setting (`DELAYS`): "best" for files, "low" for live use; weights are trained for both. A
stream is computed in fixed hops, so it is exactly the same for any split of the sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.audio.mel import LevelTracker, MelStream, loudest_bands, normalise, speech_columns
from talkingface.core.cache import content_hash
from talkingface.core.config import from_dict
from talkingface.core.digest import array_digest
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.foreign import fit_tensors
from talkingface.core.kept import Kept
from talkingface.core.stream import windows
from talkingface.core.weights import WeightsRef, find_weights, load_weights
from talkingface.nn.quantised import dequantised
from talkingface.nn.speech_encoder_config import (
    COLUMN_SAMPLES,
    FRAME_SAMPLES,
    TOKEN_SAMPLES,
    Delay,
    SpeechEncoderConfig,
    SpeechHeadConfig,
    resolved,
)
from talkingface.nn.speech_stream import EncoderStream, HeadStream, encoder_shapes

WEIGHTS = "speech_encoder.v1"
KIND = "speech_encoder"
COLUMNS_PER_FRAME = FRAME_SAMPLES // COLUMN_SAMPLES
TOKENS_PER_FRAME = 2
AFTER_FRAMES = 25
"""Frames of silence after a voice whose tokens are kept with it: more than any head looks ahead."""
SILENCE = -3.0
"""A normalised column of digital silence."""
_HOP = 500


def encoder_columns(samples: np.ndarray) -> np.ndarray:
    """The encoder's input for 16 kHz speech float32 [N]: normalised columns float32 [N // 160 + 1, 80], of which
    column j ends with sample 160 (j + 1)."""
    columns = speech_columns(samples)[1:]
    return normalise(columns, LevelTracker().push(columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardFrames:
    """What is heard in frames `start` to `start` + T - 1 of 25 fps.

    `rows` [T, outputs] of a head, `loudness` [T] in dB, and `level` [T], its running reference (`audio.mel`).
    `loudest` [T + A]: the loudest bands over that level, going on for the A frames that are heard ahead.
    """

    start: int
    rows: np.ndarray
    loudness: np.ndarray
    level: np.ndarray
    loudest: np.ndarray


class SpeechEncoder:
    """The encoder's weights, ready to run in any number of threads.

    Example: `tokens = SpeechEncoder.load().features(samples)`
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], config: SpeechEncoderConfig) -> None:
        self._tensors, self.config = dict(tensors), config
        self._kept = Kept[np.ndarray](8)

    @classmethod
    def load(cls, weights: str | Path = WEIGHTS) -> SpeechEncoder:
        """Load by name or folder. Raises WeightsError for weights that are missing, altered or of something else."""
        ref = find_weights(weights)
        return _LOADED.get(content_hash(ref.folder / "model.safetensors"), lambda: cls._read(ref))

    @classmethod
    def _read(cls, ref: WeightsRef) -> SpeechEncoder:
        loaded = load_weights(ref)
        if loaded.card.get("kind") != KIND:
            raise WeightsError(
                f"{ref.folder} holds no speech encoder; name weights made by: talkingface train {WEIGHTS}"
            )
        try:
            config = from_dict(SpeechEncoderConfig, loaded.card["config"])
            tensors = fit_tensors(dequantised(loaded.tensors), encoder_shapes(config), str(ref.folder))
        except (KeyError, TypeError, UsageError) as error:
            raise WeightsError(f"{ref.folder}: tensors and config do not fit each other; install it again") from error
        return cls(tensors, config)

    def features(self, samples: np.ndarray, delay: str | Delay = "best") -> np.ndarray:
        """All tokens of mono speech float32 [N] at 16 kHz: float32 [T, 2, width], two for every frame of 25 fps that
        begins within it.

        They are the same as in a stream. The last few voices are kept, so that several systems share them.
        """
        return self._heard(samples, delay)[: -(-len(samples) // FRAME_SAMPLES)]

    def rows(
        self, samples: np.ndarray, head: Mapping[str, np.ndarray], config: SpeechHeadConfig, delay: str | Delay = "best"
    ) -> np.ndarray:
        """What a head reads from the whole of mono speech float32 [N] at 16 kHz: float32 [T, outputs].

        The rows of `frames` but for rounding, from tokens that other heads share.
        """
        how = resolved(delay)
        count = -(-len(samples) // FRAME_SAMPLES)
        tokens = self._heard(samples, delay)[: count + how.head_frames(config)].reshape(-1, self.config.width)
        reader = HeadStream(head, config, how)
        pieces = [reader.push(tokens[first : first + 2 * _HOP]) for first in range(0, max(1, len(tokens)), 2 * _HOP)]
        return np.concatenate(pieces)[:count]

    def column_tokens(self, columns: np.ndarray, delay: str | Delay = "best") -> np.ndarray:
        """Tokens float32 [2 T, width] of normalised columns [4 T, 80] (`encoder_columns`) that silence follows."""
        after = COLUMNS_PER_FRAME * AFTER_FRAMES
        padded = np.pad(columns.astype(np.float32), ((0, after), (0, 0)), constant_values=SILENCE)
        stream = EncoderStream(self._tensors, self.config, resolved(delay))
        pieces = [stream.push(padded[first : first + _HOP]) for first in range(0, len(padded), _HOP)]
        return np.concatenate(pieces)[: len(columns) // 2]

    def _heard(self, samples: np.ndarray, delay: str | Delay) -> np.ndarray:
        """Tokens [T + AFTER_FRAMES, 2, width] of a voice and of the silence after it."""
        how = resolved(delay)
        return self._kept.get((how.ahead, how.hop, array_digest([samples])), lambda: self._features(samples, how))

    def _features(self, samples: np.ndarray, how: Delay) -> np.ndarray:
        future = self.config.layers * how.ahead * TOKEN_SAMPLES + COLUMN_SAMPLES
        stream = _Ear(self, how)
        frames = -(-len(samples) // FRAME_SAMPLES) + AFTER_FRAMES
        pieces = [samples, np.zeros(FRAME_SAMPLES * frames - len(samples), samples.dtype)]
        found = [
            stream.push(window.values if window.start == 0 else window.values[future:])[0]
            for window in windows(pieces, 0, future, how.hop * FRAME_SAMPLES)
        ]
        tokens = np.concatenate(found)[: TOKENS_PER_FRAME * frames]
        return tokens.reshape(frames, TOKENS_PER_FRAME, self.config.width)

    def frames(
        self,
        pieces: Iterable[np.ndarray],
        head: Mapping[str, np.ndarray],
        config: SpeechHeadConfig,
        delay: str | Delay,
        *more: Mapping[str, np.ndarray],
    ) -> Iterator[HeardFrames]:
        """What a head reads from mono float32 speech at 16 kHz in pieces of any length, which do not change the result.

        Covers every frame that begins within the speech, in hops of the delay. The columns of `more` heads of the same
        shape follow its own.
        """
        how = resolved(delay)
        future = how.samples(self.config, config) - FRAME_SAMPLES
        stream, readers = _Ear(self, how), [HeadStream(each, config, how) for each in (head, *more)]
        ahead = future // FRAME_SAMPLES
        heard = np.zeros((0, 3), np.float32)
        for window in windows(pieces, 0, future, how.hop * FRAME_SAMPLES):
            tokens, loudness = stream.push(window.values if window.start == 0 else window.values[future:])
            rows = np.concatenate([reader.push(tokens) for reader in readers], axis=1)
            heard = np.concatenate([heard, loudness])
            known = how.hop + ahead
            used = heard[: COLUMNS_PER_FRAME * known].reshape(known, COLUMNS_PER_FRAME, 3).mean(axis=1)
            heard = heard[COLUMNS_PER_FRAME * how.hop :]
            count = -(-window.valid // FRAME_SAMPLES)
            yield HeardFrames(
                start=window.start // FRAME_SAMPLES,
                rows=rows[:count],
                loudness=used[:count, 0],
                level=used[:count, 1],
                loudest=used[: count + ahead, 2],
            )


class _Ear:
    """From samples to tokens, with memory."""

    def __init__(self, encoder: SpeechEncoder, delay: Delay) -> None:
        self._mel, self._levels = MelStream(), LevelTracker()
        self._encoder = EncoderStream(encoder._tensors, encoder.config, delay)

    def push(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [160 n] -> tokens float32 [m, width], and float32 [n, 3] of n columns: loudness, level, and the
        loudest bands over it."""
        columns = self._mel.push(samples)
        level = self._levels.push(columns)
        loudness = np.stack([columns.mean(axis=1), level, loudest_bands(columns) - level], axis=1)
        return self._encoder.push(normalise(columns, level)), loudness


_LOADED = Kept[SpeechEncoder](2)
