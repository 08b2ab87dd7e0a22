"""The refiner's networks on a CPU, run by OpenCV: as fast as torch there, without the seconds that importing it takes.

`refiner_networks.py` is the plain version; tests hold the two equal. OpenCV reads networks as ONNX files, which are
protocol buffers: numbered fields, so little of them is needed that they are written here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel

_OPSET, _IR_VERSION, _FLOAT = 13, 8, 1
_INT, _STRING, _INTS = 2, 3, 7  # kinds of attributes


class Graph:
    """Convolutional networks in the making; methods take and return names of values."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def conv(self, x: str, weight: np.ndarray, bias: np.ndarray | None = None, stride: int = 1, pad: int = 0) -> str:
        """Convolution with `weight` [out, in, K, K]."""
        inputs = [x, *(self._constant(values) for values in (weight, bias) if values is not None)]
        shape = {"kernel_shape": weight.shape[2:], "strides": (stride,) * 2, "pads": (pad,) * 4, "dilations": (1, 1)}
        return self._node("Conv", inputs, group=1, **shape)

    def relu(self, x: str) -> str:
        """What is above zero."""
        return self._node("Relu", [x])

    def add(self, x: str, y: str) -> str:
        """The sum of two values of one shape."""
        return self._node("Add", [x, y])

    def unfold(self, x: str) -> str:
        """`pixel_shuffle` by two: [B, 4C, H, W] -> [B, C, 2H, 2W]."""
        return self._node("DepthToSpace", [x], blocksize=2, mode="CRD")

    def file(self, x: str, shape: tuple[int, ...], out: str) -> bytes:
        """An ONNX file of the graph from input `x` [B, C, H, W] to `out`."""
        graph = [_bytes(1, node) for node in self._nodes] + [_bytes(2, b"refiner")]
        graph += [_bytes(5, constant) for constant in self._constants]
        graph += [_bytes(11, _value(x, shape)), _bytes(12, _value(out, ()))]
        return _int(1, _IR_VERSION) + _bytes(7, b"".join(graph)) + _bytes(8, _bytes(1, b"") + _int(2, _OPSET))

    def _constant(self, values: np.ndarray) -> str:
        name = f"constant{len(self._constants)}"
        shape = b"".join(_int(1, side) for side in values.shape)
        raw = np.ascontiguousarray(values, "<f4").tobytes()
        self._constants.append(shape + _int(2, _FLOAT) + _bytes(8, name.encode()) + _bytes(9, raw))
        return name

    def _node(self, kind: str, inputs: list[str], **settings: int | str | tuple[int, ...]) -> str:
        name = f"value{len(self._nodes)}"
        fields = [_bytes(1, value.encode()) for value in inputs] + [_bytes(2, name.encode()), _bytes(3, name.encode())]
        fields += [_bytes(4, kind.encode())] + [_bytes(5, _attribute(*setting)) for setting in settings.items()]
        self._nodes.append(b"".join(fields))
        return name


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low]) if not rest else bytes([low | 128]) + _varint(rest)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _attribute(name: str, value: int | str | tuple[int, ...]) -> bytes:
    head = _bytes(1, name.encode())
    if isinstance(value, int):
        return head + _int(3, value) + _int(20, _INT)
    if isinstance(value, str):
        return head + _bytes(4, value.encode()) + _int(20, _STRING)
    return head + b"".join(_int(8, item) for item in value) + _int(20, _INTS)


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(_bytes(1, _int(1, side)) for side in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, _FLOAT) + _bytes(2, sides)))


def unet_file(weights: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> bytes:
    """`refiner_networks._UNet` for inputs `shape`, its state in `weights`, but for the last shuffle."""
    graph = Graph()

    def block(x: str, name: str) -> str:
        inner = graph.conv(graph.relu(x), weights[f"{name}.first.weight"], weights[f"{name}.first.bias"], pad=1)
        return graph.add(graph.conv(graph.relu(inner), weights[f"{name}.second.weight"], pad=1), x)

    enter = weights["enter.weight"]
    fold = fold_of(weights, shape[1])
    x = graph.conv("picture", enter.reshape(len(enter), -1, fold, fold), weights["enter.bias"], fold)
    passed = []
    while (name := f"down.{len(passed)}") + ".1.weight" in weights:
        passed.append(block(x, f"{name}.0"))
        x = graph.conv(passed[-1], weights[f"{name}.1.weight"], weights[f"{name}.1.bias"], 2)
    x = block(x, "middle")
    for k in reversed(range(len(passed))):
        up = graph.unfold(graph.conv(x, weights[f"up.{k}.mix.weight"]))
        x = block(graph.add(up, passed[k]), f"merge.{k}")
    return graph.file("picture", shape, graph.conv(graph.relu(x), weights["leave.weight"], weights["leave.bias"]))


def fold_of(weights: Mapping[str, np.ndarray], inputs: int) -> int:
    """How many pixels wide the squares are that the network folds into channels."""
    return round((weights["enter.weight"].shape[1] / inputs) ** 0.5)


_PLANES = types.Array(types.float32, 4, "C", readonly=True)


@kernel(types.float32[:, :, :, ::1](_PLANES, types.int64))
def _unfold(folded, fold):
    """`pixel_shuffle`: [B, C * fold * fold, H, W] -> [B, C, H * fold, W * fold]."""
    batch, channels, height, width = folded.shape
    out = np.empty((batch, channels // (fold * fold), height * fold, width * fold), np.float32)
    for b in range(batch):
        for channel in range(channels):
            c, place = channel // (fold * fold), channel % (fold * fold)
            for y in range(height):
                for x in range(width):
                    out[b, c, y * fold + place // fold, x * fold + place % fold] = folded[b, channel, y, x]
    return out


class CpuNet:
    """One of the refiner's U-Nets, float32 [B, in, H, W] -> [B, out, H, W]; any number of threads may call it."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        """`weights`: the state of `refiner_networks._UNet`."""
        self._weights = weights
        self._own = threading.local()  # OpenCV's networks hold what they compute, so each thread has its own

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        nets = self._own.__dict__.setdefault("nets", {})
        if pictures.shape not in nets:
            file = np.frombuffer(unet_file(self._weights, pictures.shape), np.uint8)
            nets[pictures.shape] = cv2.dnn.readNetFromONNX(file)
        net = nets[pictures.shape]
        net.setInput(pictures)
        return _unfold(net.forward(), fold_of(self._weights, pictures.shape[1]))
