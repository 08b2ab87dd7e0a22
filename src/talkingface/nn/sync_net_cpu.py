"""`SyncNet` in NumPy, for scoring: importing torch takes longer than scoring a clip."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from talkingface.nn.sync_config import SHAPE_GAIN, SyncConfig

_PICTURES_AT_ONCE = 256
_NORM_EPS = 1e-5


class SyncNetCpu:
    """The network with the tensors of a `SyncNet` state dict, float32, of the shapes of `tensor_shapes`."""

    def __init__(self, config: SyncConfig, tensors: Mapping[str, np.ndarray]) -> None:
        self.config = config
        self._tensors = tensors

    def audio(self, columns: np.ndarray) -> np.ndarray:
        """Level-free mel columns [4 T, 80] -> unit vectors [T, dim]."""
        step = self.config.columns
        x = np.maximum(self._conv("front", columns, padding=2), 0)
        x = np.maximum(self._conv("pool", x, stride=step, padding=step // 2), 0)
        return _unit(self._head("audio_head", x, self.config.audio_dilations))

    def visual(self, shape: np.ndarray, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shapes [T, P, 3], pictures [T, h, w] of mean 0 -> unit vectors [T, dim], weights [T] in (0, 1)."""
        a = self._linear("shape", SHAPE_GAIN * _centred(shape.reshape(len(shape), -1)))
        b = _centred(np.concatenate([self._pictures(some) for some in _split(crops)]))
        x = np.maximum(self._conv("join", np.concatenate([a, b], axis=1), padding=1), 0)
        out = self._head("visual_head", x, self.config.visual_dilations)
        return _unit(out[:, :-1]), 1 / (1 + np.exp(-out[:, -1]))

    def _pictures(self, crops: np.ndarray) -> np.ndarray:
        x = crops[..., None]
        for number in range(len(self.config.pictures)):
            weight = self._tensors[f"convs.{number}.weight"]  # [out, in, 3, 3]
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]  # type: ignore[call-overload]
            flat = windows.reshape(*windows.shape[:3], -1) @ weight.reshape(len(weight), -1).T
            x = np.maximum(flat + self._tensors[f"convs.{number}.bias"], 0)
        return self._linear("picture", x.transpose(0, 3, 1, 2).reshape(len(x), -1))

    def _head(self, name: str, x: np.ndarray, dilations: tuple[int, ...]) -> np.ndarray:
        for number, dilation in enumerate(dilations):
            block = f"{name}.blocks.{number}"
            inner = self._conv(f"{block}.conv", self._norm(f"{block}.norm", x), padding=dilation, dilation=dilation)
            x = x + self._conv(f"{block}.mix", np.maximum(inner, 0))
        return self._linear(f"{name}.out", self._norm(f"{name}.norm", x))

    def _conv(self, name: str, x: np.ndarray, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> np.ndarray:
        """Convolution over time: [T, in] -> [T', out]."""
        taps = np.ascontiguousarray(self._tensors[f"{name}.weight"].T)  # [taps, in, out]
        padded = np.pad(x, ((padding, padding), (0, 0)))
        rows = (len(padded) - dilation * (len(taps) - 1) - 1) // stride + 1
        # tap by tap: windows laid out side by side would take several times the memory
        parts = (padded[dilation * k :: stride][:rows] @ tap for k, tap in enumerate(taps))
        return sum(parts, self._tensors[f"{name}.bias"])

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + _NORM_EPS)
        return scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]


def tensor_shapes(config: SyncConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor that scoring needs, by its name in the state dict."""
    height, width = (-(-side // 2 ** len(config.pictures)) for side in config.crop_hw)
    channels = (1, *config.pictures)
    shapes = {
        "front": (config.front, config.bands, 5),
        "pool": (config.width, config.front, 2 * config.columns),
        "shape": (config.parts, 3 * config.points),
        "picture": (config.parts, channels[-1] * height * width),
        "join": (config.width, 2 * config.parts, 3),
        **{f"convs.{k}": (b, a, 3, 3) for k, (a, b) in enumerate(itertools.pairwise(channels))},
        **_head_shapes("audio_head", config.width, config.audio_dilations, config.dim),
        **_head_shapes("visual_head", config.width, config.visual_dilations, config.dim + 1),
    }
    weights = {f"{name}.weight": shape for name, shape in shapes.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in shapes.items()}


def _head_shapes(name: str, width: int, dilations: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.norm": (width,), f"{name}.out": (outputs, width)}
    for number in range(len(dilations)):
        block = f"{name}.blocks.{number}"
        shapes |= {f"{block}.norm": (width,), f"{block}.conv": (width, width, 3), f"{block}.mix": (width, width, 1)}
    return shapes


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(0)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _split(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + _PICTURES_AT_ONCE] for start in range(0, len(x), _PICTURES_AT_ONCE)]
