"""U-Nets on a CPU, run by OpenCV (see `nn.onnx_graph`): torch alone takes seconds to import.

`nn.unet` is the plain version; tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.nn.onnx_graph import CpuNetwork, Graph


def unet_file(weights: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> tuple[bytes, list[str]]:
    """`nn.unet.UNet` for inputs `shape`, its state in `weights`, but for the last shuffle; and its output."""
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
    leave = graph.conv(graph.relu(x), weights["leave.weight"], weights["leave.bias"])
    return graph.file("picture", shape, [leave]), [leave]


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
    """A U-Net, float32 [B, in, H, W] -> [B, out, H, W]; any number of threads may call it."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        """`weights`: the state of `nn.unet.UNet`."""
        self._weights = weights
        self._network = CpuNetwork(lambda shape: unet_file(weights, shape))

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        return _unfold(self._network(pictures)[0], fold_of(self._weights, pictures.shape[1]))
