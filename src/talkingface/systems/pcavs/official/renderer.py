"""From an avatar and motion to pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talkingface.core.motion import batches, follow_poses, skip_frames
from talkingface.core.stream import ordered_map
from talkingface.core.types import Avatar, Controls, Frames, Motion
from talkingface.systems.pcavs.official.inference import OfficialFace, OfficialVariant
from talkingface.systems.pcavs.official.paste import Place
from talkingface.video.resize import shrink, with_longest

BATCH = 8
"""Frames that the networks see at a time. Always full (padded), so that results do not depend on the split."""
WORKERS = 2
"""One batch is generated while the one before is pasted into its pictures."""


class FaceRenderer:
    """Draws motion onto an avatar's photo. With `poses`, rows [T, P] at the system's clock, the head moves like them.

    Nothing changes after construction, so threads may share it.
    """

    def __init__(
        self, avatar: Avatar, variant: OfficialVariant, controls: Controls, poses: np.ndarray | None = None
    ) -> None:
        self._poses = poses
        rgb, landmarks = avatar.tensors["rgb"], avatar.tensors["landmarks"]
        whole = controls.crop == "full"
        size = controls.size if isinstance(controls.size, int) else None
        # `size` is that of what is shown: the whole picture is scaled first, a crop is cut from the whole photo
        if whole and size:
            rgb, was = np.ascontiguousarray(with_longest(rgb, size)), rgb
            landmarks = landmarks * np.float32(max(rgb.shape[:2]) / max(was.shape[:2]))
        self._silence = variant.silence
        self._face = OfficialFace(variant, rgb, landmarks)
        self._size = size if size and not whole else self._face.square.side
        self._place = Place(rgb, self._face.square) if whole else None

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`."""
        motions = skip_frames(motions, first)  # frames do not depend on those before them
        if self._poses is not None:
            motions = follow_poses(motions, self._poses)
        return ordered_map(self._render, batches(motions, BATCH), WORKERS)

    def _render(self, batch: tuple[int, Motion]) -> Frames:
        start, motion = batch
        count = len(motion)
        pose = np.zeros((count, len(self._face.rest)), np.float32) if motion.pose is None else motion.pose
        # filled up with the last row: networks give slightly other numbers for batches of another size
        fill = np.minimum(np.arange(BATCH), count - 1)
        squares = self._face.draw((motion.expression + self._silence)[fill], (pose + self._face.rest)[fill])[:count]
        if self._place is not None:
            return Frames(rgb=np.stack([self._place.paste(square) for square in squares]), start=start)
        return Frames(rgb=self._sized(squares), start=start)

    def _sized(self, pictures: np.ndarray) -> np.ndarray:
        if pictures.shape[1] == self._size:
            return pictures
        return np.stack([shrink(picture, (self._size, self._size)) for picture in pictures])
