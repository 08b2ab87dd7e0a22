"""From an avatar and motion to pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from talkingface.core.motion import batches, skip_frames
from talkingface.core.stream import ordered_map
from talkingface.core.types import Avatar, Controls, Frames, Motion
from talkingface.systems.pcavs.alignment.align import similarity, three_points
from talkingface.systems.pcavs.alignment.crop import SIDE_PX
from talkingface.systems.pcavs.alignment.paste import Place
from talkingface.systems.pcavs.codes import follow_poses
from talkingface.systems.pcavs.variants import Variant
from talkingface.video.resize import shrink, with_longest

BATCH = 8
"""Frames that the networks see at a time. Always full (padded), so that results do not depend on the split."""
WORKERS = 2
"""One batch is generated while the one before is pasted into its pictures."""
LEAST_SIDE_PX, MOST_SIDE_PX = 224, 512
"""Of a generated square, unless a size is asked for: the original's, and what the networks' detail can bear."""


class FaceRenderer:
    """Draws motion onto an avatar's photo. With `poses`, rows [T, P] at the system's clock, the head moves like them.

    Nothing changes after construction, so threads may share it.
    """

    def __init__(self, avatar: Avatar, variant: Variant, controls: Controls, poses: np.ndarray | None = None) -> None:
        self._poses = poses
        rgb, landmarks = avatar.tensors["rgb"], avatar.tensors["landmarks"]
        whole = controls.crop == "full"
        size = controls.size if isinstance(controls.size, int) else None
        # `size` is that of what is shown: the whole picture is scaled first, a crop is cut from the whole photo
        if whole and size:
            rgb, was = np.ascontiguousarray(with_longest(rgb, size)), rgb
            landmarks = landmarks * np.float32(max(rgb.shape[:2]) / max(was.shape[:2]))
        matrix = similarity(three_points(landmarks[None]))
        native = SIDE_PX / float(np.hypot(matrix[0, 0], matrix[1, 0]))
        matte = None
        if controls.background == "transparent":
            rgb, matte = _cut_out(rgb, avatar.tensors.get("matte"))
        self._silence = variant.silence
        self._face = variant.face(rgb, landmarks, matte, _side(native, None if whole else controls.size))
        self._size = size if size and not whole else self._face.square.side
        self._place = Place(rgb, self._face.square) if whole else None
        self._around = matte if whole else None

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
        squares, alpha = self._face.draw((motion.expression + self._silence)[fill], (pose + self._face.rest)[fill])
        squares, alpha = squares[:count], None if alpha is None else alpha[:count]
        if self._place is not None:
            rgb = np.stack([self._place.paste(square) for square in squares])
            masks = None
            if alpha is not None and self._around is not None:
                masks = np.stack([self._place.paste_mask(self._around, a) for a in alpha])
            return Frames(rgb=rgb, mask=masks, start=start)
        return Frames(rgb=self._sized(squares), mask=None if alpha is None else self._sized(alpha), start=start)

    def _sized(self, pictures: np.ndarray) -> np.ndarray:
        if pictures.shape[1] == self._size:
            return pictures
        return np.stack([shrink(picture, (self._size, self._size)) for picture in pictures])


def _cut_out(rgb: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The picture with the person's own colours at soft edges, and where the person is: uint8 [H, W, 3], [H, W].

    `own`: the picture's own transparency; its colours lie over white.
    """
    from talkingface.face.matte import person_matte, unmix_colours

    if own is None:
        return rgb, np.round(255 * person_matte(rgb)).astype(np.uint8)
    matte = shrink(own, (rgb.shape[1], rgb.shape[0]))
    return unmix_colours(rgb, matte.astype(np.float32) / 255, np.full_like(rgb, 255)), matte


def _side(native_px: float, size: int | str | None) -> int:
    """Side in pixels of the squares to draw, even."""
    if isinstance(size, int):
        return min(max(size, 64), 1024) // 2 * 2
    most = 2048 if size == "native" else MOST_SIDE_PX
    return int(min(max(native_px, LEAST_SIDE_PX), most)) // 2 * 2
