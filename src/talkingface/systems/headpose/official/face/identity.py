"""Identity features, the values of the memory: a vector of length one for a true face.

The original takes ArcFace (LResNet100E-IR, `model-r100-ii`, layer `fc1`), which users have as an MXNet file; it is read
here and needed in training only. ArcFace hardly varies within one person, whose training needs to know skin, mouth and
light of the moment. Without imported ArcFace the feature is therefore a small picture of the face, as its difference
from the person's mean face, with a constant beside it. With the published threshold (`memory.SAME_IDENTITY`) and this
constant, neighbouring frames count as the same and others do not.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from talkingface.core.errors import WeightsError
from talkingface.face.pose import fit_similarity
from talkingface.nn.iresnet import FACE_PX, MXNET_EPS, IResNet, mxnet_name

CONSTANT = 3.0  # the constant, in typical distances of a face from the mean face
TEMPLATE = np.array(
    [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]], np.float32
) + np.array([8, 0], np.float32)  # published for a picture 96 wide, then centred
"""Five points in the aligned face of 112 x 112: eyes, nose tip, mouth corners, in pixels."""
BATCH = 8
_LIST_MAGIC, _V1_MAGIC, _V2_MAGIC, _V3_MAGIC = 0x112, 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_FLOAT32 = 0
_FIX_GAMMA = "fc1_gamma"  # the last batch norm has a fixed scale of one, whatever the file holds


def thumb_side(feature: int) -> int:
    """The side of the largest small picture whose colours fit into a feature beside the constant."""
    return max(1, math.isqrt((feature - 1) // 3))


def thumbnail(crop: np.ndarray, side: int) -> np.ndarray:
    """The middle of a face's own crop uint8 [224, 224, 3] as [side, side, 3]: eyebrows to chin, cheek to cheek."""
    edge = crop.shape[0] // 6
    return cv2.resize(crop[edge:-edge, edge:-edge], (side, side), interpolation=cv2.INTER_AREA)


def picture_features(thumbs: np.ndarray, feature: int) -> np.ndarray:
    """Unit features float32 [N, feature] of the thumbnails uint8 [N, G, G, 3] of one person."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    away = flat - flat.mean(axis=0)
    typical = max(1e-3, float(np.sqrt((away**2).sum(axis=1).mean())))
    rows = np.zeros((len(flat), feature), np.float32)
    rows[:, : away.shape[1]] = away / typical
    rows[:, -1] = CONSTANT
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def alignment(points: np.ndarray) -> np.ndarray:
    """The matrix float64 [2, 3] that best brings five points [5, 2] onto `TEMPLATE`: turn, scale and shift only."""
    rotation, scale, shift = fit_similarity(points, TEMPLATE)
    return np.concatenate([scale * rotation, shift[:, None]], 1)


def aligned_face(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The aligned face uint8 [112, 112, 3] of a picture [H, W, 3] with five points [5, 2] (`crop.five_points`)."""
    return cv2.warpAffine(rgb, alignment(points), (FACE_PX, FACE_PX), flags=cv2.INTER_LINEAR, borderValue=(0,))


def identity_features(net: IResNet, faces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Unit features float32 [512] of aligned faces uint8 [112, 112, 3]."""
    device = next(net.parameters()).device
    pictures = iter(faces)
    while batch := list(islice(pictures, BATCH)):
        rgb = torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2)
        with torch.no_grad():
            yield from torch.nn.functional.normalize(net((rgb - 127.5) / 128)).cpu().numpy()


def load_mxnet_arcface(path: str | Path, device: str = "cpu") -> IResNet:
    """LResNet100E-IR from `model-0000.params`, ready to use. Raises WeightsError for anything else."""
    arrays = read_mxnet_params(path)
    net = IResNet(eps=MXNET_EPS)
    state = net.state_dict()
    for name, old in state.items():
        foreign = mxnet_name(name)
        if foreign is None:
            continue
        values = arrays.get(foreign)
        if foreign == _FIX_GAMMA:
            values = np.ones(tuple(old.shape), np.float32)
        if values is None or values.shape != tuple(old.shape):
            raise WeightsError(f"{path} has no {foreign} of shape {list(old.shape)}; give the file of LResNet100E-IR")
        state[name] = torch.from_numpy(values)
    net.load_state_dict(state)
    return net.eval().requires_grad_(False).to(device)


def read_mxnet_params(path: str | Path) -> dict[str, np.ndarray]:
    """The float32 arrays of an MXNet parameter file by name, without `arg:` and `aux:`. Raises WeightsError.

    A list of dense arrays (magic, kind of storage, shape, device, type, numbers), then the list of their names.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    reader = _Reader(data)
    try:
        if reader.take("<Q") != _LIST_MAGIC:
            raise ValueError("it does not begin as one")
        reader.take("<Q")  # reserved
        arrays = [reader.array() for _ in range(reader.take("<Q"))]
        names = [reader.text() for _ in range(reader.take("<Q"))]
        if len(names) != len(arrays):
            raise ValueError(f"{len(arrays)} arrays have {len(names)} names")
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is not a readable MXNet parameter file: {error}") from error
    return {name.partition(":")[2] or name: values for name, values in zip(names, arrays, strict=True)}


class _Reader:
    """Walks through the bytes of a parameter file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> int:
        """The first of the numbers of a layout."""
        value, *_ = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return value

    def text(self) -> str:
        """A name with its length before it."""
        return self._bytes(self.take("<Q")).decode()

    def array(self) -> np.ndarray:
        """One dense float32 array."""
        magic = self.take("<I")
        if magic in (_V2_MAGIC, _V3_MAGIC):
            if self.take("<i") != 0:
                raise ValueError("it holds sparse arrays")
            shape = [self.take("<q") for _ in range(self.take("<I"))]
        elif magic == _V1_MAGIC:
            shape = [self.take("<q") for _ in range(self.take("<I"))]
        else:  # the oldest files begin with the number of dimensions
            shape = [self.take("<I") for _ in range(magic)]
        self.take("<ii")  # device and its number
        if self.take("<i") != _FLOAT32:
            raise ValueError("it holds numbers other than float32")
        if any(size < 0 for size in shape):
            raise ValueError("an array has a negative size")
        values = np.frombuffer(self._bytes(4 * int(np.prod(shape, dtype=object))), "<f4")
        if not np.isfinite(values).all():
            raise ValueError("an array has values that are not finite")
        return values.reshape(shape).astype(np.float32)

    def _bytes(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise ValueError("it ends too early")
        self._at += count
        return self._data[self._at - count : self._at]
