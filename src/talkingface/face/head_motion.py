"""Head, brows and blinks for a voice: a seeded random process learned from tracked clips.

Head pose and brows are filtered noise with the spectra, and the correlations between channels, of real
speakers; a clock that runs faster while there is voice than in pauses drives it, and a learned
response to loudness is added. Noise is numbered by frame, so a seed gives one motion however the voice is split. Every
value is softly limited to what real heads do, and nothing accumulates, so there is no drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

FPS = 25.0
NUM_POSE = 6
BLOCK = 128
"""Rows of noise made at once."""
PAUSE_PACE, VOICE_PACE = 0.45, 1.2
"""Speed of the process's clock without and with voice."""
BLINKS_PER_MINUTE = 17.0
SHORTEST_PAUSE_FRAMES = 20
"""Between the starts of two blinks, up to four times the natural rate; beyond it the pauses become shorter."""
LARGEST_PAUSE_SHARE = 0.907
"""How much of the mean time between blinks that pause may take; without a bound none would be left at 4.4 times."""
PHRASE_END_BIAS = 5.0
"""How much faster a blink comes up in the half second after a phrase."""
WITHIN_PHRASE_BIAS = 0.5
"""How much slower within a phrase: on real speech the mean rate stays."""
REGULARITY = 3.0
"""Shape of the gamma distribution of the time between blinks; 1 would be pure chance."""
_NOISE, _BLINK = 0, 1  # independent streams of random numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRows:
    """Motion of T frames: `pose` float32 [T, 6] as in `Motion`, `brow` [T, B] coefficients, `blink` [T, 1]."""

    pose: np.ndarray
    brow: np.ndarray
    blink: np.ndarray


def _random(seed: int, stream: int, block: int = 0) -> np.random.Generator:
    # a list of large numbers would become floats, and seeds that differ in their last bits the same
    key = np.array([seed, stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, block]))


class NoiseProcess:
    """Stationary filtered noise [.., D]: row i is sum over k of kernel[k] @ noise[i + k], for any i >= 0.

    `kernel` [2K + 1, D, D]. Rows are made in blocks of fixed shape: their values do not depend on the order of asking.
    """

    def __init__(self, kernel: np.ndarray, seed: int) -> None:
        taps, self._channels, _ = kernel.shape
        self._matrix = np.ascontiguousarray(kernel.transpose(0, 2, 1).reshape(taps * self._channels, -1), np.float64)
        self._taps, self._seed = taps, seed
        self._blocks: dict[int, np.ndarray] = {}

    def _noise(self, block: int) -> np.ndarray:
        generator = _random(self._seed, _NOISE, block)
        return generator.standard_normal((BLOCK, self._channels))

    def _rows(self, block: int) -> np.ndarray:
        if block not in self._blocks:
            noise = np.concatenate([self._noise(block + k) for k in range(-(-self._taps // BLOCK) + 1)])
            view = np.lib.stride_tricks.sliding_window_view(noise, self._taps, axis=0)[:BLOCK]
            for old in [number for number in self._blocks if number < block - 2]:
                del self._blocks[old]
            self._blocks[block] = view.transpose(0, 2, 1).reshape(BLOCK, -1) @ self._matrix
        return self._blocks[block]

    def at(self, position: float) -> np.ndarray:
        """The process at a real position >= 1, by a cubic through its four neighbours: float64 [D]."""
        first = int(position) - 1
        x = position - int(position)
        rows, place = self._rows(first // BLOCK), first % BLOCK
        if place + 4 > BLOCK:
            rows = np.concatenate([rows[place:], self._rows(first // BLOCK + 1)[:4]])
            place = 0
        a, b, c, d = rows[place : place + 4]
        return b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)))


class Blinks:
    """Random blinks with a learned profile of closure; likelier just after a phrase."""

    def __init__(self, profile: np.ndarray, seed: int, rate: float) -> None:
        self._profile = profile.astype(np.float64)
        wanted = rate * BLINKS_PER_MINUTE
        self._pause = min(SHORTEST_PAUSE_FRAMES, LARGEST_PAUSE_SHARE * 60 * FPS / max(wanted, 1e-6))
        self._pace = wanted / (60 * FPS - wanted * self._pause)
        self._random = _random(seed, _BLINK)
        self._ripe, self._limit = 0.0, self._random.gamma(REGULARITY) / REGULARITY
        self._since = SHORTEST_PAUSE_FRAMES
        self._voiced = 0.0
        self._after_phrase = 1000

    def push(self, voice: float) -> float:
        """Closure [0, 1] at the next frame, whose probability of voice is given."""
        was = self._voiced
        self._voiced = 0.85 * was + 0.15 * voice
        self._after_phrase = 0 if was >= 0.5 > self._voiced else self._after_phrase + 1
        self._since += 1
        if self._since >= self._pause:
            bias = WITHIN_PHRASE_BIAS if self._voiced >= 0.5 else 1.0
            self._ripe += self._pace * (PHRASE_END_BIAS if self._after_phrase < FPS / 2 else bias)
        if self._ripe >= self._limit:
            self._since, self._ripe, self._limit = 0, 0.0, self._random.gamma(REGULARITY) / REGULARITY
        return float(self._profile[self._since]) if self._since < len(self._profile) else 0.0


class HeadMotion:
    """Head motion for a voice: `push` its features, frame by frame in order, in pieces of any length.

    `tensors`: `kernel` [2K + 1, 6 + B, 6 + B], `response` [L, 6 + B] to loudness of the last L frames, `limit` [6 + B],
    `blink` [P] closure profile. `blink_rate` scales the natural rate.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], seed: int, blink_rate: float = 1.0) -> None:
        self._process = NoiseProcess(tensors["kernel"].astype(np.float64), seed)
        self._response = tensors["response"].astype(np.float64)
        self._limit = tensors["limit"].astype(np.float64)
        self._blinks = Blinks(tensors["blink"], seed, blink_rate)
        self._heard = np.zeros(len(self._response))
        self._slow_voice, self._mean_loudness = 0.0, 0.0
        self._position = 1.0

    def push(self, voice: np.ndarray, loudness: np.ndarray) -> HeadRows:
        """`voice` [T] probability of speech, `loudness` [T] in dB relative to the voice's level."""
        rows = np.empty((len(voice), len(self._limit)))
        blink = np.empty((len(voice), 1), np.float32)
        for k, (spoken, loud) in enumerate(zip(voice.tolist(), loudness.tolist(), strict=True)):
            self._slow_voice += 0.08 * (spoken - self._slow_voice)
            self._position += PAUSE_PACE + (VOICE_PACE - PAUSE_PACE) * self._slow_voice
            # loudness about its own slow mean: stress, not level
            stress = spoken * min(max(loud / 20 + 1, -1.0), 1.0)
            self._mean_loudness += 0.02 * (stress - self._mean_loudness)
            self._heard = np.append(self._heard[1:], stress - self._mean_loudness)
            value = self._process.at(self._position) + self._heard[::-1] @ self._response
            rows[k] = self._limit * np.tanh(value / self._limit)
            blink[k] = self._blinks.push(spoken)
        rows = rows.astype(np.float32)
        return HeadRows(pose=rows[:, :NUM_POSE], brow=rows[:, NUM_POSE:], blink=blink)
