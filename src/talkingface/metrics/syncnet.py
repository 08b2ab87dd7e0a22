"""True LSE-D, LSE-C and AV offset: the official SyncNet (Chung & Zisserman 2016) where a user has imported its weights.

`syncnet_v2.model` in its own names. As in the authors' release: five frames of 224 x 224 pixels around the face, in
BGR with values 0 to 255, against 0.2 s of 13 cepstral coefficients; distances at 31 shifts, averaged over the clip.
Unlike it, the faces are found by this toolkit's tracker, not by S3FD, and nothing is re-encoded on the way: expect
figures near the published ones, not equal to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.signal import medfilt
from torch import Tensor, nn

from talkingface.audio.mfcc import NUM_COEFFICIENTS, mfcc
from talkingface.core.foreign import Imported, fit_tensors, module_shapes, origin_of, read_foreign, source_files
from talkingface.metrics.networks import to_batch, with_weights

WEIGHTS = "syncnet.v2"
FILES = "syncnet_v2.model of joonson/syncnet_python"
VIEW_PX, VIEW_FRAMES = 224, 5
ROWS, ROWS_PER_FRAME = 20, 4
MAX_LAG = 15
BATCH = 20
_WIDE, _MARGIN = 13, 0.4  # frames of the median over boxes; room beside the face, in half box sides
_GREY = (110, 110, 110)


def _block(conv: nn.Module, norm: nn.Module, *after: nn.Module) -> list[nn.Module]:
    return [conv, norm, nn.ReLU(), *after]


class SyncNetV2(nn.Module):
    """Embeds 0.2 s of sound and of a face as 1024 numbers each."""

    def __init__(self, dim: int = 1024) -> None:
        super().__init__()
        conv, pool = nn.Conv2d, nn.MaxPool2d
        self.netcnnaud = nn.Sequential(
            *_block(conv(1, 64, 3, padding=1), nn.BatchNorm2d(64), pool(1, 1)),
            *_block(conv(64, 192, 3, padding=1), nn.BatchNorm2d(192), pool(3, (1, 2))),
            *_block(conv(192, 384, 3, padding=1), nn.BatchNorm2d(384)),
            *_block(conv(384, 256, 3, padding=1), nn.BatchNorm2d(256)),
            *_block(conv(256, 256, 3, padding=1), nn.BatchNorm2d(256), pool(3, 2)),
            *_block(conv(256, 512, (5, 4)), nn.BatchNorm2d(512)),
        )
        self.netfcaud, self.netfclip = (
            nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, dim)) for _ in range(2)
        )
        volume, largest = nn.Conv3d, nn.MaxPool3d
        flat, half, edge = (1, 3, 3), (1, 2, 2), (0, 1, 1)
        self.netcnnlip = nn.Sequential(
            *_block(volume(3, 96, (5, 7, 7), half), nn.BatchNorm3d(96), largest(flat, half)),
            *_block(volume(96, 256, (1, 5, 5), half, edge), nn.BatchNorm3d(256), largest(flat, half, edge)),
            *_block(volume(256, 256, flat, padding=edge), nn.BatchNorm3d(256)),
            *_block(volume(256, 256, flat, padding=edge), nn.BatchNorm3d(256)),
            *_block(volume(256, 256, flat, padding=edge), nn.BatchNorm3d(256), largest(flat, half)),
            *_block(volume(256, 512, (1, 6, 6)), nn.BatchNorm3d(512)),
        )

    def sound(self, rows: Tensor) -> Tensor:
        """Cepstral coefficients [B, 1, 13, 20] -> [B, dim]."""
        return self.netfcaud(self.netcnnaud(rows).flatten(1))

    def face(self, views: Tensor) -> Tensor:
        """BGR views [3, T, 224, 224] in order -> [T - 4, dim], one for each five that follow each other.

        Only the first layer spans time, five frames, so the windows need not be cut out.
        """
        return self.netfclip(self.netcnnlip(views[None])[0].flatten(1).T)


@dataclass(frozen=True, slots=True, kw_only=True)
class LipSync:
    """`distance`: LSE-D, the least mean distance over shifts; `confidence`: LSE-C, the median minus that; `offset`: at
    how many frames of 25 fps the least lies, positive: the sound leads (the network's own sign). nan: too short."""

    distance: float
    confidence: float
    offset: float


class SyncNetMeter:
    """Takes views one after the other, so that memory stays flat.

    Example: `for view in views: meter.add(view)`, then `meter.finish(samples)`.
    """

    def __init__(self, network: SyncNetV2) -> None:
        self._network = network.eval()
        self._views: list[np.ndarray] = []
        self._faces: list[Tensor] = []

    @classmethod
    def load(cls) -> SyncNetMeter:
        """Load imported weights. Raises WeightsError when there are none, or others."""
        return cls(with_weights(SyncNetV2(), WEIGHTS))

    def another(self) -> SyncNetMeter:
        """One for another video, with the same network."""
        return SyncNetMeter(self._network)

    def add(self, view: np.ndarray) -> None:
        """The next frame's view uint8 [224, 224, 3] RGB (`face_view`)."""
        self._views.append(view)
        if len(self._views) == BATCH + VIEW_FRAMES - 1:
            self._embed()

    def finish(self, samples: np.ndarray) -> LipSync:
        """Judge all views added against their sound, float32 [N] at 16 kHz from the first view's time on."""
        if len(self._views) >= VIEW_FRAMES:
            self._embed()
        nothing = LipSync(distance=float("nan"), confidence=float("nan"), offset=float("nan"))
        if not self._faces or len(samples) < ROWS * 160:
            return nothing
        faces = torch.cat(self._faces)
        pcm = np.round(np.clip(samples, -1, 1) * 32767)
        rows = mfcc(pcm).astype(np.float32)
        # the release leaves out the last window of both
        count = min(len(faces), len(samples) // 640 - VIEW_FRAMES + 1) - 1
        count = min(count, (len(rows) - ROWS) // ROWS_PER_FRAME + 1)
        if count < 1:
            return nothing
        windows = np.stack([rows[ROWS_PER_FRAME * k :][:ROWS].T for k in range(count)])[:, None]
        with torch.inference_mode():
            device = next(self._network.parameters()).device
            parts = torch.from_numpy(windows).split(10 * BATCH)
            sounds = torch.cat([self._network.sound(part.to(device)).cpu() for part in parts])
        return lip_sync(faces[:count], sounds)

    def _embed(self) -> None:
        views = to_batch([view[..., ::-1] for view in self._views], self._network).transpose(0, 1)
        with torch.inference_mode():
            self._faces.append(self._network.face(views).cpu())
        self._views = self._views[1 - VIEW_FRAMES :]


def lip_sync(faces: Tensor, sounds: Tensor) -> LipSync:
    """The three figures from embeddings [T, D] of faces and of the sound at the same times."""
    padded = nn.functional.pad(sounds, (0, 0, MAX_LAG, MAX_LAG))
    shifted = [padded[lag : lag + len(faces)] for lag in range(2 * MAX_LAG + 1)]
    means = torch.stack([nn.functional.pairwise_distance(faces, other).mean() for other in shifted])
    least = int(means.argmin())
    distance = float(means[least])
    return LipSync(distance=distance, confidence=float(means.median()) - distance, offset=float(MAX_LAG - least))


def face_boxes(points: np.ndarray) -> np.ndarray:
    """Boxes of the views for points [T, 478, 3]: centre x and y and half side, medians over 13 frames, [T, 3]."""
    low, high = points[..., :2].min(1), points[..., :2].max(1)
    centre, half = (low + high) / 2, (high - low).max(1) / 2
    rows = np.column_stack([centre, half]).astype(np.float64)
    wide = min(_WIDE, len(rows) - 1 + len(rows) % 2)
    edge = wide // 2
    padded = np.pad(rows, ((edge, edge), (0, 0)), mode="edge")
    return np.column_stack([medfilt(column, wide)[edge : edge + len(rows)] for column in padded.T])


def face_view(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The view uint8 [224, 224, 3] of a picture [H, W, 3]: the box with room at its sides and below."""
    x, y, half = (float(value) for value in box)
    side = max(2, round(2 * half * (1 + _MARGIN)))
    left, top = round(x - half * (1 + _MARGIN)), round(y - half)
    height, width = rgb.shape[:2]
    inner = rgb[max(0, top) : max(0, min(height, top + side)), max(0, left) : max(0, min(width, left + side))]
    if not inner.size:
        return np.full((VIEW_PX, VIEW_PX, 3), _GREY[0], np.uint8)
    above, before = max(0, -top), max(0, -left)
    below, beyond = side - above - inner.shape[0], side - before - inner.shape[1]
    whole = cv2.copyMakeBorder(inner, above, below, before, beyond, cv2.BORDER_CONSTANT, value=_GREY)
    return cv2.resize(whole, (VIEW_PX, VIEW_PX))


def import_syncnet(files: Sequence[Path]) -> Imported:
    """`syncnet.v2` from the authors' file. Raises WeightsError."""
    (path,) = source_files(files, 1, FILES)
    tensors = fit_tensors(read_foreign(path), module_shapes(SyncNetV2()), path.name)
    card = {
        "kind": "syncnet",
        "licence": "MIT (code); trained on BBC video, see the authors' page",
        "allows": "what the licence of the file allows",
        "paper": "Chung & Zisserman 2016, Out of Time: Automated Lip Sync in the Wild",
        "origin": origin_of([path]),
        "config": {"coefficients": NUM_COEFFICIENTS, "rows": ROWS},
    }
    return Imported(name=WEIGHTS, tensors=tensors, card=card)
