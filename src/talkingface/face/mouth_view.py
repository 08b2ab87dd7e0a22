"""The mouth as input of a sync expert: small upright grey pictures and lip points, 25 times a second."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.pose import STABLE_POINTS, fit_similarity, undo_similarity
from talkingface.face.topology import LIPS

VIEW_FPS = 25
VIEW_HW = (24, 40)
SHAPE_POINTS = (*LIPS, 152, 148, 377, 176, 400, 199, 200, 18, 83, 313, 50, 280, 205, 425, 2, 164)
"""Lips, chin and jaw line, cheeks, nose base: what speech moves."""
_EYES = (33, 263)
_CORNERS = (61, 291)
_WIDTH = 1.1  # of the picture, in distances between the outer eye corners
_DOWN = 0.06  # of the picture's centre below the mouth corners: the jaw needs more room than the nose


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthView:
    """A mouth on the 25 fps clock from time 0.

    `crops` uint8 [T, 24, 40]; `shape` float32 [T, 56, 3]: `SHAPE_POINTS` without head pose, in distances between the
    outer eye corners; `seen` bool [T]: false where the face was not seen.
    """

    crops: np.ndarray
    shape: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.seen)


def mouth_crop(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The upright grey mouth uint8 [24, 40] of a frame [H, W, 3], or of its luma [H, W]; points [478, 3] in its pixels.

    Its scale is the distance of the eye corners in three dimensions, so a turned head keeps its size.
    """
    height, width = VIEW_HW
    eyes, corners = points[_EYES, :], points[_CORNERS, :2].mean(axis=0)
    apart = float(max(np.linalg.norm(eyes[1] - eyes[0]), 1e-3))
    along = eyes[1, :2] - eyes[0, :2]
    angle = float(np.arctan2(along[1], along[0]))
    across, down = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    centre = corners + _DOWN * apart * down
    pixel = _WIDTH * apart / width  # frame pixels per crop pixel
    low = np.floor(centre - 0.75 * _WIDTH * apart - 2).astype(int)
    high = np.ceil(centre + 0.75 * _WIDTH * apart + 2).astype(int)
    low, high = (np.clip(corner, 0, (rgb.shape[1], rgb.shape[0])) for corner in (low, high))
    if (high - low).min() < 2:
        return np.zeros(VIEW_HW, np.uint8)
    grey = np.ascontiguousarray(rgb[low[1] : high[1], low[0] : high[0]])
    if rgb.ndim == 3:
        grey = cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY)
    if pixel > 1.4:  # warpAffine does not filter
        grey = cv2.GaussianBlur(grey, (0, 0), 0.35 * pixel)
    start = centre - low - pixel * (across * (width - 1) / 2 + down * (height - 1) / 2)
    matrix = np.column_stack([pixel * across, pixel * down, start])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grey, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def mouth_view(
    crops: np.ndarray, landmarks: np.ndarray, times_s: np.ndarray, confidence: np.ndarray | None = None
) -> MouthView:
    """Crops [N, 24, 40] (`mouth_crop`) and landmarks [N, 478, 3] of N frames at `times_s` [N], put on the clock.

    Between two frames pictures and points are mixed. `confidence` [N] 0 marks frames in which the face was not seen.
    Raises ValueError when the numbers of frames differ.
    """
    if not len(crops) == len(landmarks) == len(times_s) or not len(crops):
        raise ValueError(f"{len(crops)} pictures, {len(landmarks)} rows of points and {len(times_s)} times differ")
    seen = np.ones(len(crops), bool) if confidence is None else np.asarray(confidence) > 0
    after, share = _on_clock(np.asarray(times_s, np.float64))
    before = np.maximum(after - 1, 0)
    near = share[:, None, None]
    shape = mouth_shape(landmarks)
    return MouthView(
        crops=np.round(crops[before] * (1 - near) + crops[after] * near).astype(np.uint8),
        shape=(shape[before] * (1 - near) + shape[after] * near).astype(np.float32),
        seen=seen[before] & seen[after],
    )


def without_contrast(crops: np.ndarray) -> np.ndarray:
    """Pictures uint8 [T, h, w] -> float32 of mean 0 and, where there is contrast, deviation 1 over the clip."""
    values = crops.astype(np.float32)
    return (values - values.mean()) / (values.std() + 8)


def mouth_shape(landmarks: np.ndarray) -> np.ndarray:
    """`SHAPE_POINTS` of points [T, 478, 3] without head pose and size: float32 [T, 56, 3].

    Each frame is laid onto the clip's middle frame by the points that speech does not move, and measured from there.
    """
    rest = np.asarray(landmarks[len(landmarks) // 2], np.float64)
    pose = fit_similarity(rest[STABLE_POINTS], landmarks[:, STABLE_POINTS])
    upright = undo_similarity(landmarks[:, SHAPE_POINTS].astype(np.float64), *pose)
    return undo_similarity(upright, *_own_axes(rest)).astype(np.float32)


def _own_axes(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation, scale and translation of a face: x along its eyes, y down its nose, one unit between the eyes."""
    right = rest[_EYES[1]] - rest[_EYES[0]]
    apart = max(float(np.linalg.norm(right)), 1e-6)
    right = right / apart
    forward = np.cross(right, rest[152] - rest[10])
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    rotation = np.column_stack([right, np.cross(forward, right), forward])
    return rotation, np.array(apart), rest[list(STABLE_POINTS)].mean(axis=0)


def _on_clock(times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each tick of 1/25 s up to the last frame: the frame at or after it, and its share against the one before."""
    clock = np.arange(int(times_s[-1] * VIEW_FPS + 1e-3) + 1) / VIEW_FPS
    if len(times_s) < 2:
        return np.zeros(len(clock), int), np.ones(len(clock))
    after = np.clip(np.searchsorted(times_s, clock - 1e-6), 1, len(times_s) - 1)
    step = np.maximum(times_s[after] - times_s[after - 1], 1e-6)
    return after, np.clip((clock - times_s[after - 1]) / step, 0, 1)
