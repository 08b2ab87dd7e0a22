"""Speech encoder and heads in NumPy over rows that arrive in pieces: `push` rows, get those that are now determined.

What lies before the first row is zeros for convolutions and nothing for attention, as in torch; the end is whatever
the caller pushes after it. Rows are computed piece by piece: who pushes the same pieces gets the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from talkingface.nn.few_rows import Matrix
from talkingface.nn.speech_encoder_config import Delay, SpeechEncoderConfig, SpeechHeadConfig

FEW = 2
"""Frames of a hop up to which matrices are read in eight bits."""
_TAPS = 3
_GELU = np.float32(np.sqrt(2 / np.pi))
Tensors = Mapping[str, np.ndarray]


class ConvStream:
    """Convolution of rows [T, C]: row t is made of rows t - left .. t + right, each `dilation` apart."""

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray, *, right: int, dilation: int = 1, stride: int = 1, few: bool = False
    ) -> None:
        out, channels, self._taps = weight.shape
        self._matrix = Matrix(weight.transpose(0, 2, 1).reshape(out, -1), bias, few)
        self._dilation, self._stride = dilation, stride
        self._past = np.zeros(((self._taps - 1 - right) * dilation, channels), np.float32)

    def push(self, rows: np.ndarray) -> np.ndarray:
        """float32 [n, C] -> float32 [m, out]."""
        joined = np.concatenate([self._past, rows])
        span = (self._taps - 1) * self._dilation
        count = max(0, (len(joined) - span + self._stride - 1) // self._stride)
        self._past = joined[count * self._stride :]
        if not count:
            return np.zeros((0, self._matrix.outputs), np.float32)
        last = (count - 1) * self._stride + 1
        taps = [joined[k : k + last : self._stride] for k in range(0, span + 1, self._dilation)]
        return self._matrix(np.concatenate(taps, axis=1))


class _AttentionStream:
    """`speech_encoder.AttentionLayer` whose tokens see `ahead` later ones."""

    def __init__(self, t: Tensors, config: SpeechEncoderConfig, ahead: int, few: bool) -> None:
        self._t = t
        self._qkv, self._out, self._up, self._down = (
            Matrix(t[f"{name}.weight"], t[f"{name}.bias"], few) for name in ("qkv", "out", "up", "down")
        )
        self._heads, self._past, self._ahead = config.heads, config.past, ahead
        # logits of the tokens -past .. ahead of one query, last token first: what `_bias` reads
        self._reach = np.ascontiguousarray(t["bias"][:, : config.past + ahead + 1], np.float32)
        width = config.width
        self._waiting = np.zeros((0, width), np.float32)
        self._queries = np.zeros((0, width), np.float32)
        self._keys, self._values = np.zeros((2, 0, width), np.float32)
        self._first = 0  # place of the first key less that of the first waiting token

    def push(self, rows: np.ndarray) -> np.ndarray:
        """float32 [n, width] -> float32 [m, width]."""
        query, key, value = np.split(self._qkv(_layer_norm(rows, self._t, "norm1")), 3, axis=1)
        self._waiting = np.concatenate([self._waiting, rows])
        self._queries = np.concatenate([self._queries, query])
        self._keys = np.concatenate([self._keys, key])
        self._values = np.concatenate([self._values, value])
        count = max(0, len(self._waiting) - self._ahead)
        seen = self._attend(count)
        x = self._waiting[:count] + self._out(seen)
        self._waiting, self._queries = self._waiting[count:], self._queries[count:]
        old = max(0, count - self._first - self._past)
        self._keys, self._values = self._keys[old:], self._values[old:]
        self._first += old - count
        return x + self._down(_gelu(self._up(_layer_norm(x, self._t, "norm2"))))

    def _attend(self, count: int) -> np.ndarray:
        """What the first `count` waiting tokens see: float32 [count, width]."""
        width = self._waiting.shape[1]
        keys = len(self._keys)
        away = self._first + np.arange(keys)[None] - np.arange(count)[:, None]
        near = (away >= -self._past) & (away <= self._ahead)
        places = np.clip(away + self._past, 0, self._reach.shape[1] - 1)
        size = width // self._heads
        query = self._queries[:count].reshape(count, self._heads, size).transpose(1, 0, 2)
        key, value = (x.reshape(keys, self._heads, size).transpose(1, 0, 2) for x in (self._keys, self._values))
        logits = query @ key.transpose(0, 2, 1) * np.float32(size**-0.5) + self._reach[:, places]
        logits = np.where(near, logits, np.float32(-np.inf))
        share = np.exp(logits - logits.max(axis=2, keepdims=True, initial=-1e30))
        share /= share.sum(axis=2, keepdims=True)
        return (share @ value).transpose(1, 0, 2).reshape(count, width)


class EncoderStream:
    """`speech_encoder.SpeechEncoder`: normalised columns at 100 Hz to tokens at 50 Hz, with a delay's lookahead."""

    def __init__(self, tensors: Tensors, config: SpeechEncoderConfig, delay: Delay) -> None:
        few = delay.hop <= FEW
        self._conv1 = ConvStream(tensors["conv1.weight"], tensors["conv1.bias"], right=1, few=few)
        self._conv2 = ConvStream(tensors["conv2.weight"], tensors["conv2.bias"], right=1, stride=2, few=few)
        self._place = tensors["place"].astype(np.float32)
        self._layers = [
            _AttentionStream(_inside(tensors, f"layers.{k}."), config, delay.ahead, few) for k in range(config.layers)
        ]

    def push(self, columns: np.ndarray) -> np.ndarray:
        """float32 [n, 80] -> float32 [m, width]."""
        x = _gelu(self._conv2.push(_gelu(self._conv1.push(columns)))) + self._place
        for layer in self._layers:
            x = layer.push(x)
        return x


class _BlockStream:
    """`speech_head.Block`."""

    def __init__(self, t: Tensors, dilation: int, centred: bool, few: bool) -> None:
        self._t = t
        self._conv = ConvStream(t["conv.weight"], t["conv.bias"], right=int(centred), dilation=dilation, few=few)
        self._mix = Matrix(t["mix.weight"][:, :, 0], t["mix.bias"], few)
        self._waiting = np.zeros((0, t["norm.weight"].shape[0]), np.float32)

    def push(self, rows: np.ndarray) -> np.ndarray:
        """float32 [n, width] -> float32 [m, width]."""
        self._waiting = np.concatenate([self._waiting, rows])
        seen = np.maximum(self._conv.push(_layer_norm(rows, self._t, "norm")), 0)
        x, self._waiting = self._waiting[: len(seen)], self._waiting[len(seen) :]
        return x + self._mix(seen)


class HeadStream:
    """`speech_head.SpeechHead`: tokens at 50 Hz to rows at 25 fps."""

    def __init__(self, tensors: Tensors, config: SpeechHeadConfig, delay: Delay) -> None:
        self._t = tensors
        # row t is made of tokens 2 t - 1 and 2 t: a stride of two that begins one token early
        few = delay.hop <= FEW
        self._pool = ConvStream(tensors["pool.weight"], tensors["pool.bias"], right=0, stride=2, few=few)
        self._blocks = [
            _BlockStream(_inside(tensors, f"blocks.{k}."), dilation, k < delay.right, few)
            for k, dilation in enumerate(config.dilations)
        ]
        self._head = Matrix(tensors["head.weight"], tensors["head.bias"], few)

    def push(self, tokens: np.ndarray) -> np.ndarray:
        """float32 [n, encoder width] -> float32 [m, outputs]."""
        x = np.maximum(self._pool.push(_layer_norm(tokens, self._t, "norm_in")), 0)
        for block in self._blocks:
            x = block.push(x)
        return self._head(np.maximum(_layer_norm(x, self._t, "norm"), 0))


def _inside(tensors: Tensors, prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _layer_norm(rows: np.ndarray, t: Tensors, name: str) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
    return centred / scale * t[f"{name}.weight"] + t[f"{name}.bias"]


def _gelu(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * x * (1 + np.tanh(_GELU * (x + np.float32(0.044715) * x * x * x)))


def encoder_shapes(config: SpeechEncoderConfig, bands: int = 80) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the encoder's tensors."""
    width = config.width
    shapes: dict[str, tuple[int, ...]] = {
        "conv1.weight": (width, bands, _TAPS), "conv1.bias": (width,), "conv2.weight": (width, width, _TAPS),
        "conv2.bias": (width,), "place": (width,),
    }  # fmt: skip
    for k in range(config.layers):
        layer = f"layers.{k}."
        shapes[f"{layer}bias"] = (config.heads, config.past + config.future + 1)
        for name, outputs, inputs in (("qkv", 3, 1), ("out", 1, 1), ("up", 4, 1), ("down", 1, 4)):
            shapes[f"{layer}{name}.weight"] = (outputs * width, inputs * width)
            shapes[f"{layer}{name}.bias"] = (outputs * width,)
        for name in ("norm1", "norm2"):
            shapes |= {f"{layer}{name}.{part}": (width,) for part in ("weight", "bias")}
    return shapes
