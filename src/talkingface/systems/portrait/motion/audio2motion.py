"""Speech to mouth coefficients: a small causal network, run in NumPy over fixed hops with state, so that
a stream and a file give exactly the same.

Time: frame k (at k / 25 s) is decided from sound up to 3040 samples (190 ms) after it: four frames of lookahead, less
the newest of the sixteen columns. Motion comes out in hops of five frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.audio.mel import HOP, LevelTracker, MelStream, normalise
from talkingface.core.stream import windows
from talkingface.systems.portrait.motion.config import LIP_CLOSURES, PAUSE, MouthConfig

FPS = 25.0
COLUMNS_PER_FRAME = 4
LOOKAHEAD = 4
"""Frames."""
HOP_FRAMES = 5
SAMPLES_PER_FRAME = COLUMNS_PER_FRAME * HOP
FUTURE = LOOKAHEAD * SAMPLES_PER_FRAME - HOP
"""Samples that must follow a hop before it can be computed."""
COMING_FRAMES = 7
"""How far ahead the network says whether there is speech: real mouths open before the voice."""


class _Conv:
    """Causal dilated convolution over rows [T, C] with its own past."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray, dilation: int) -> None:
        out, channels, self._taps = weight.shape
        self._matrix = np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, out), np.float32)
        self._bias, self._dilation = bias.astype(np.float32), dilation
        self._past = np.zeros(((self._taps - 1) * dilation, channels), np.float32)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        joined = np.concatenate([self._past, rows])
        self._past = joined[len(rows) :]
        steps = range(0, self._taps * self._dilation, self._dilation)
        return np.concatenate([joined[k : k + len(rows)] for k in steps], axis=1) @ self._matrix + self._bias


def _layer_norm(rows: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + 1e-5) * scale + shift


class MouthStream:
    """The network of `motion_network.MouthNet` in NumPy, with memory: `push` columns, get rows, in order."""

    def __init__(self, tensors: Mapping[str, np.ndarray], config: MouthConfig) -> None:
        t = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
        self._front = _Conv(t["front.weight"], t["front.bias"], 1)
        pool = t["pool.weight"]
        self._pool = np.ascontiguousarray(pool.transpose(2, 1, 0).reshape(-1, pool.shape[0])), t["pool.bias"]
        self._blocks = [
            (
                t[f"blocks.{k}.norm.weight"],
                t[f"blocks.{k}.norm.bias"],
                _Conv(t[f"blocks.{k}.conv.weight"], t[f"blocks.{k}.conv.bias"], dilation),
                np.ascontiguousarray(t[f"blocks.{k}.mix.weight"][:, :, 0].T),
                t[f"blocks.{k}.mix.bias"],
            )
            for k, dilation in enumerate(config.dilations)
        ]
        self._norm = t["norm.weight"], t["norm.bias"]
        self._head = np.ascontiguousarray(t["head.weight"].T), t["head.bias"]

    def push(self, columns: np.ndarray) -> np.ndarray:
        """Normalised columns float32 [4 n, 80] -> rows float32 [n, outputs]."""
        x = np.maximum(self._front(columns), 0)
        x = np.maximum(x.reshape(len(x) // COLUMNS_PER_FRAME, -1) @ self._pool[0] + self._pool[1], 0)
        for scale, shift, conv, mix, bias in self._blocks:
            x = x + np.maximum(conv(_layer_norm(x, scale, shift)), 0) @ mix + bias
        return np.maximum(_layer_norm(x, *self._norm), 0) @ self._head[0] + self._head[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRows:
    """What the network says about frames `start` to `start` + T - 1.

    `mouth` [T, M] coefficients before any shaping, `voice` [T] probability of speech, `coming` [T] that there is speech
    within `COMING_FRAMES` from now, `closure` [T] that the lips meet, `loudness` [T] in dB and `level` [T] its running
    reference (see `audio.mel.LevelTracker`).
    """

    start: int
    mouth: np.ndarray
    voice: np.ndarray
    coming: np.ndarray
    closure: np.ndarray
    loudness: np.ndarray
    level: np.ndarray


def speech_rows(
    tensors: Mapping[str, np.ndarray], config: MouthConfig, pieces: Iterable[np.ndarray]
) -> Iterator[SpeechRows]:
    """Run the network over mono float32 speech at 16 kHz given in pieces of any length.

    The frames cover every frame that begins within the speech; the result does not depend on the pieces.
    """
    mel, levels = MelStream(), LevelTracker()
    networks = [MouthStream(with_prefix(tensors, f"{k}."), config) for k in range(config.members)]
    hop = HOP_FRAMES * SAMPLES_PER_FRAME
    first = True
    memory = np.zeros((0, 2), np.float32)
    for window in windows(pieces, 0, FUTURE, hop):
        samples = window.values
        before = [mel.silence(), mel.push(samples[:FUTURE])] if first else []
        columns = np.concatenate([*before, mel.push(samples[FUTURE:])])
        level = levels.push(columns)
        values = normalise(columns, level)
        lead = LOOKAHEAD if first else 0
        if first:
            for network in networks:
                network.push(values[: lead * COLUMNS_PER_FRAME])
        rows = np.mean([network.push(values[lead * COLUMNS_PER_FRAME :]) for network in networks], axis=0)
        heard = np.stack([columns.mean(axis=1), level], axis=1).reshape(-1, COLUMNS_PER_FRAME, 2).mean(axis=1)
        memory = np.concatenate([memory, heard])
        frames = -(-window.valid // SAMPLES_PER_FRAME)
        yield _to_rows(rows[:frames], memory[:frames], window.start // SAMPLES_PER_FRAME, config)
        memory = memory[HOP_FRAMES:]
        first = False


def with_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _to_rows(rows: np.ndarray, heard: np.ndarray, start: int, config: MouthConfig) -> SpeechRows:
    logits = rows[:, config.num_mouth : -2]
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return SpeechRows(
        start=start,
        mouth=rows[:, : config.num_mouth],
        voice=1 - share[:, PAUSE],
        coming=1 / (1 + np.exp(-rows[:, -2])),
        closure=np.maximum(1 / (1 + np.exp(-rows[:, -1])), share[:, list(LIP_CLOSURES)].sum(axis=1)),
        loudness=heard[:, 0],
        level=heard[:, 1],
    )
