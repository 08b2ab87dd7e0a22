"""Training clips for tests of `pcavs`: a mesh that turns and speaks, drawn as a simple face, cut as clips are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from faces import drawn_picture, mesh_points, open_mouth
from talkingface.systems.pcavs.alignment.align import MOUTH_POINTS, alignment, three_points, to_crop, warp
from talkingface.systems.pcavs.data.crops import CropClip
from talkingface.systems.pcavs.data.mel import mel_windows

EYES_AND_NOSE = (33, 133, 362, 263, 1, 168)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayClip:
    """A `TrainingClip` in arrays: `crops` uint8 [T, 224, 224, 3], `mel` float32 [T4, 80]."""

    person: str
    crops: np.ndarray
    mel: np.ndarray
    speaks: bool = True

    @property
    def weight(self) -> np.ndarray:
        return np.ones(len(self.crops), np.float32)

    def frames(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.crops[np.asarray(numbers)]

    def mel_windows(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        return mel_windows(self.mel, numbers)


def speaking_head(count: int, seed: int = 0, turning: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Points [T, 478, 3] of a picture of 256 x 256, and rotation vectors [T, 3]."""
    rng = np.random.default_rng(seed)
    t = np.arange(count)[:, None]
    turns = turning * np.sin(t / rng.uniform(4, 9, 3) + rng.uniform(0, 6, 3)) * (0.4, 1, 0.4)
    opening = 0.15 + 0.15 * np.sin(t[:, 0] / 2 + seed)
    made = []
    for turn, gap in zip(turns, opening, strict=True):
        face = open_mouth(mesh_points(60, (0, 0)), float(gap))
        made.append(face @ Rotation.from_rotvec(turn).as_matrix().T + (128, 120, 0))
    return np.stack(made).astype(np.float32), turns.astype(np.float32)


def draw_face(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Skin, eyes, nose and a dark mouth on coloured ground: uint8 [256, 256, 3]."""
    picture = np.roll(drawn_picture(), 40 * seed, axis=1).copy()
    flat = np.round((points[:, :2] - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(picture, cv2.convexHull(flat), (200, 160, 140), cv2.LINE_AA, shift=4)
    for point in flat[list(EYES_AND_NOSE)]:
        cv2.circle(picture, tuple(map(int, point)), 5 * 16, (40, 40, 60), -1, cv2.LINE_AA, shift=4)
    cv2.fillConvexPoly(picture, cv2.convexHull(flat[list(MOUTH_POINTS)]), (90, 10, 30), cv2.LINE_AA, shift=4)
    return picture


def crop_clip(
    slug: str = "one", *, count: int = 24, seed: int = 0, turning: float = 0.2, weight: np.ndarray | None = None,
    pictures: list[np.ndarray] | None = None, person: str | None = None,
) -> CropClip:  # fmt: skip
    """A clip of the head above, or of `pictures` in its place."""
    points, turns = speaking_head(count, seed, turning)
    pictures = pictures or [draw_face(p, seed) for p in points]
    matrices = alignment(three_points(points))
    crops = [warp(picture, matrix, "replicate") for picture, matrix in zip(pictures, matrices, strict=True)]
    jpegs = [cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1] for crop in crops]
    return CropClip(
        slug=slug,
        person=person or slug,
        split="train",
        licence_class="own",
        landmarks=to_crop(points, matrices).astype(np.float16),
        matrices=matrices.astype(np.float32),
        pose=turns,
        mel=np.random.default_rng(seed).random((4 * count + 20, 80)).astype(np.float32),
        weight=np.ones(count, np.float32) if weight is None else weight,
        speaks=True,
        scale=1.0,
        outside=0.0,
        late_s=0.0,
        jpegs=np.concatenate([jpeg.reshape(-1) for jpeg in jpegs]),
        starts=np.cumsum([0, *(jpeg.size for jpeg in jpegs)]),
    )
