"""Small videos of a face for tests: the shipped portrait, shifted about, with a voice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from faces import sample_picture
from talkingface.video.write import VideoWriter
from voices import make_voice, write_wav

FRAMES = 30


def sway(count: int = FRAMES) -> np.ndarray:
    """Shifts (x, y) in pixels, [count, 2], of a head that moves a little."""
    t = np.arange(count)
    return np.stack([3 * np.sin(t / 5), 2 * np.cos(t / 7)], axis=1)


def write_face_video(
    path: Path, shifts: np.ndarray | None = None, fps: float = 25, quality: int = 12, size: Sequence[int] | None = None
) -> Path:
    """The portrait shifted by `shifts` [T, 2], with speech-like sound of the same length."""
    picture = sample_picture()
    picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    if size is not None:
        picture = cv2.resize(picture, tuple(size), interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    shifts = sway() if shifts is None else shifts
    sound = write_wav(path.with_suffix(".wav"), make_voice(len(shifts) / fps))
    with VideoWriter(path, (width, height), fps, sound=sound, synthetic=None, quality=quality) as writer:
        for x, y in shifts:
            move = np.array([[1, 0, x], [0, 1, y]], np.float64)
            writer.write(cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REPLICATE))
    return path
