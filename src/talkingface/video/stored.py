"""Frames of a clip that are needed in any order, stored as a video with many key frames: small and fast to decode."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from talkingface.core.errors import InputError
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter

KEYFRAME_EVERY = 12
QUALITY = 15
_FPS = 25  # only numbers the frames; what clock they belong to is the caller's matter
_GROUPS_KEPT = 3


def store_frames(path: Path, frames: Iterable[np.ndarray], size: tuple[int, int]) -> int:
    """Write frames uint8 [H, W, 3] of `size` (width, height) to `path` (.mp4); returns how many. Raises OutputError."""
    count = 0
    with VideoWriter(path, size, _FPS, quality=QUALITY, keyframe_every=KEYFRAME_EVERY) as writer:
        for rgb in frames:
            writer.write(rgb)
            count += 1
    return count


class StoredFrames:
    """Reads single frames of a file that `store_frames` wrote, in any thread; neighbours are cheap in both directions.

    Example: `StoredFrames(path, (1280, 720))[41]`
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self._path, self._size = path, size
        self._groups: OrderedDict[int, list[np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> np.ndarray:
        """Frame `number` as uint8 [H, W, 3]; do not write into it. Raises InputError if it is not there."""
        group, place = divmod(number, KEYFRAME_EVERY)
        with self._lock:
            if group not in self._groups:
                self._groups[group] = self._decode(group)
                while len(self._groups) > _GROUPS_KEPT:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(group)
            frames = self._groups[group]
        try:
            return frames[place]
        except IndexError:
            raise InputError(f"{self._path} has no frame {number}; it was altered, make it again") from None

    def _decode(self, group: int) -> list[np.ndarray]:
        width, height = self._size
        frames = read_frames(self._path, start_s=group * KEYFRAME_EVERY / _FPS)
        return [frame.rgb[:height, :width] for frame in islice(frames, KEYFRAME_EVERY)]
