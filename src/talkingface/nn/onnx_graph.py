"""Networks as ONNX files in memory, for OpenCV to run on a CPU: as fast as torch there, and nothing heavy to import.

ONNX files are protocol buffers: numbered fields, so little of them is needed that they are written here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

_OPSET, _IR_VERSION, _FLOAT, _INT64 = 14, 8, 1, 7
_INT, _STRING, _INTS = 2, 3, 7  # kinds of attributes


class Graph:
    """Convolutional networks in the making; methods take and return names of values."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def conv(
        self,
        x: str,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        stride: int | Sequence[int] = 1,
        pad: int | Sequence[int] = 0,
        group: int = 1,
    ) -> str:
        """Convolution with `weight` [out, in / group, K, L]; `pad` is one number, or top, left, bottom, right."""
        inputs = [x, *(self._constant(values) for values in (weight, bias) if values is not None)]
        strides = (stride,) * 2 if isinstance(stride, int) else tuple(stride)
        pads = (pad,) * 4 if isinstance(pad, int) else tuple(pad)
        shape = {"kernel_shape": weight.shape[2:], "strides": strides, "pads": pads, "dilations": (1, 1)}
        return self._node("Conv", inputs, group=group, **shape)

    def conv_transpose(self, x: str, weight: np.ndarray, bias: np.ndarray, stride: int) -> str:
        """Transposed convolution with `weight` [in, out, K, K]."""
        inputs = [x, self._constant(weight), self._constant(bias)]
        return self._node("ConvTranspose", inputs, kernel_shape=weight.shape[2:], strides=(stride,) * 2)

    def relu(self, x: str) -> str:
        """What is above zero."""
        return self._node("Relu", [x])

    def relu6(self, x: str) -> str:
        """What is above zero, at most six."""
        return self._node("Clip", [x, self._constant(np.float32(0)), self._constant(np.float32(6))])

    def prelu(self, x: str, slope: np.ndarray) -> str:
        """`slope` [C, 1, 1] times what is below zero."""
        return self._node("PRelu", [x, self._constant(slope)])

    def sigmoid(self, x: str) -> str:
        """1 / (1 + exp(-x))."""
        return self._node("Sigmoid", [x])

    def hard_swish(self, x: str) -> str:
        """x * min(max(x / 6 + 0.5, 0), 1)."""
        return self._node("HardSwish", [x])

    def add(self, x: str, y: str | np.ndarray) -> str:
        """The sum of two values of one shape, or of a value and a constant."""
        return self._node("Add", [x, y if isinstance(y, str) else self._constant(y)])

    def mul(self, x: str, y: str | np.ndarray) -> str:
        """The product of two values, or of a value and a constant."""
        return self._node("Mul", [x, y if isinstance(y, str) else self._constant(y)])

    def pool(self, x: str, kind: str, sides: Sequence[int], strides: Sequence[int]) -> str:
        """`kind` "Max" or "Average" over windows."""
        return self._node(f"{kind}Pool", [x], kernel_shape=tuple(sides), strides=tuple(strides))

    def pad_channels(self, x: str, channels: int) -> str:
        """`channels` further ones of zeros."""
        return self._node("Pad", [x, self._constant(np.array([0, 0, 0, 0, 0, channels, 0, 0], np.int64))])

    def resize(self, x: str, scale: float, places: str) -> str:
        """Bilinear enlargement; `places`: ONNX's coordinate transformation mode."""
        scales = self._constant(np.array([1, 1, scale, scale], np.float32))
        return self._node("Resize", [x, "", scales], mode="linear", coordinate_transformation_mode=places)

    def unfold(self, x: str, block: int = 2, mode: str = "CRD") -> str:
        """[B, C * block * block, H, W] -> [B, C, block * H, block * W]; "CRD" is `pixel_shuffle`."""
        return self._node("DepthToSpace", [x], blocksize=block, mode=mode)

    def file(self, x: str, shape: tuple[int, ...], outputs: Sequence[str]) -> bytes:
        """An ONNX file of the graph from input `x` [B, C, H, W] to `outputs`."""
        graph = [_bytes(1, node) for node in self._nodes] + [_bytes(2, b"network")]
        graph += [_bytes(5, constant) for constant in self._constants]
        graph += [_bytes(11, _value(x, shape)), *(_bytes(12, _value(out, ())) for out in outputs)]
        return _int(1, _IR_VERSION) + _bytes(7, b"".join(graph)) + _bytes(8, _bytes(1, b"") + _int(2, _OPSET))

    def _constant(self, values: np.ndarray | np.float32) -> str:
        name, values = f"constant{len(self._constants)}", np.asarray(values)
        kind, stored = (_INT64, "<i8") if values.dtype == np.int64 else (_FLOAT, "<f4")
        shape = b"".join(_int(1, side) for side in values.shape)
        raw = np.ascontiguousarray(values, stored).tobytes()
        self._constants.append(shape + _int(2, kind) + _bytes(8, name.encode()) + _bytes(9, raw))
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


def write_graph(
    layers: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray],
    shape: tuple[int, ...],
    outputs: Sequence[int],
) -> tuple[bytes, list[str]]:
    """The ONNX file of a network that is a list of layers, and the names of its outputs.

    A layer has a `kind`, the numbers of its `inputs` (0 is the network's input of `shape` [B, C, H, W], k what layer
    k - 1 gives) and what its kind needs; arrays are named. `outputs` are numbers of values.
    """
    graph = Graph()
    names = ["input"]
    for layer in layers:
        x = [names[number] for number in layer["inputs"]]
        names.append(_LAYERS[layer["kind"]](graph, x, layer, arrays))
    wanted = [names[number] for number in outputs]
    return graph.file("input", shape, wanted), wanted


def _conv(graph: Graph, x: list[str], layer: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    weight, bias = arrays[layer["weight"]], arrays[layer["bias"]]
    return graph.conv(x[0], weight, bias, layer["strides"], layer["pads"], layer["group"])


def _second(x: list[str], layer: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str | np.ndarray:
    return x[1] if len(x) > 1 else arrays[layer["constant"]]


_Layer = Callable[[Graph, list[str], Mapping[str, Any], Mapping[str, np.ndarray]], str]
_LAYERS: dict[str, _Layer] = {
    "conv": _conv,
    "conv_transpose": lambda g, x, layer, a: g.conv_transpose(
        x[0], a[layer["weight"]], a[layer["bias"]], layer["stride"]
    ),
    "relu": lambda g, x, layer, a: g.relu(x[0]),
    "relu6": lambda g, x, layer, a: g.relu6(x[0]),
    "prelu": lambda g, x, layer, a: g.prelu(x[0], a[layer["slope"]]),
    "sigmoid": lambda g, x, layer, a: g.sigmoid(x[0]),
    "hard_swish": lambda g, x, layer, a: g.hard_swish(x[0]),
    "add": lambda g, x, layer, a: g.add(x[0], _second(x, layer, a)),
    "mul": lambda g, x, layer, a: g.mul(x[0], _second(x, layer, a)),
    "max_pool": lambda g, x, layer, a: g.pool(x[0], "Max", layer["sides"], layer["strides"]),
    "average_pool": lambda g, x, layer, a: g.pool(x[0], "Average", layer["sides"], layer["strides"]),
    "pad_channels": lambda g, x, layer, a: g.pad_channels(x[0], layer["channels"]),
    "resize": lambda g, x, layer, a: g.resize(x[0], layer["scale"], layer["places"]),
    "depth_to_space": lambda g, x, layer, a: g.unfold(x[0], layer["block"], "DCR"),
}


class CpuNetwork:
    """A network that OpenCV runs; any number of threads may call it, also in a process forked after a call.

    `make` gives the ONNX file and the names of the outputs for an input's shape; it is called once a shape and thread.
    """

    def __init__(self, make: Callable[[tuple[int, ...]], tuple[bytes, list[str]]]) -> None:
        self._make = make
        self._own = threading.local()  # OpenCV's networks hold what they compute, so each thread has its own

    def __call__(self, values: np.ndarray) -> Sequence[np.ndarray]:
        """Outputs for `values` float32 [B, C, H, W]; each valid until this thread's next call."""
        nets = self._own.__dict__.setdefault("nets", {})
        if values.shape not in nets:
            file, names = self._make(values.shape)
            nets[values.shape] = cv2.dnn.readNetFromONNX(np.frombuffer(file, np.uint8)), names
        net, names = nets[values.shape]
        net.setInput(values)
        return net.forward(names)

    def forget(self) -> None:
        """Give back what this thread holds, tens of MiB for whole pictures; the next call takes 3 ms longer."""
        self._own.__dict__.clear()
