"""The face models of `face_tracker.v1`, ready to run: two detectors, the mesh and its parts, the matte."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from talkingface.core.weights import find_weights, load_weights
from talkingface.nn.onnx_graph import CpuNetwork, write_graph

WEIGHTS = "face_tracker.v1"
_lock = threading.Lock()
_models: list[FaceModels] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceModels:
    """Networks by name (`short_range`, `full_range`, `matte`, `mesh`, `lips`, `left_eye`, `right_eye`), and arrays."""

    networks: Mapping[str, CpuNetwork]
    arrays: Mapping[str, np.ndarray]


def face_models() -> FaceModels:
    """The models, read once per process. Raises WeightsError if they are missing or damaged."""
    with _lock:
        if not _models:
            _models.append(_load())
        return _models[0]


def _load() -> FaceModels:
    arrays = load_weights(find_weights(WEIGHTS)).tensors
    graphs: dict[str, Any] = json.loads(arrays["graphs"].tobytes())

    def network(graph: Mapping[str, Any]) -> CpuNetwork:
        return CpuNetwork(lambda shape: write_graph(graph["layers"], arrays, shape, graph["outputs"]))

    return FaceModels(networks={name: network(graph) for name, graph in graphs.items()}, arrays=arrays)


def to_input(rgb: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """A picture uint8 [S, S, 3] as a network's input float32 [1, 3, S, S], black `low` and white `high`."""
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32)
    return (planes * np.float32((high - low) / 255) + np.float32(low))[None]


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-values)), without overflow in float32."""
    return 1 / (1 + np.exp(-np.clip(values, -80, 80)))


def see_square(rgb: np.ndarray, corners: np.ndarray, side_px: int, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """The area between four `corners` [4, 2] of a picture uint8 [H, W, 3], as a square of `side_px`.

    The corners are those at the bottom left, top left, top right and bottom right. Bilinear, as the networks were
    trained; beyond the picture it is black, or as OpenCV's `border` says.
    """
    square = np.array([[0, side_px], [0, 0], [side_px, 0], [side_px, side_px]], np.float32)
    matrix = cv2.getPerspectiveTransform(np.asarray(corners, np.float32), square)
    return cv2.warpPerspective(rgb, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=border)
