"""From a photo to an avatar, and from motion to finished pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from talkingface.core.motion import batches
from talkingface.core.types import Avatar, Controls, Frames, Motion, Track
from talkingface.systems.pcavs.alignment.align import similarity, three_points
from talkingface.systems.pcavs.alignment.paste import Place
from talkingface.systems.pcavs.codes import Talker
from talkingface.systems.pcavs.compact.views import SIDE_PX
from talkingface.systems.pcavs.driving import LONGEST_PX
from talkingface.video.resize import shrink

if TYPE_CHECKING:
    from talkingface.clips.tracked import TrackedClip

BATCH = 8
"""Frames that the networks see at a time. Always full (padded), so that results do not depend on the split."""
LEAST_SIDE_PX, MOST_SIDE_PX = 224, 512
"""Of a drawn square, unless a size is asked for: the original's, and what the networks' detail can bear."""
SMALL_FACE_PX = 96
CUT_OFF = 0.12
"""Share of the square beyond the picture's edge from which the user is told."""


@dataclass(frozen=True, slots=True)
class Photo:
    """An avatar's tensors, and sentences for the user."""

    tensors: dict[str, np.ndarray]
    notes: list[str]


def make_photo(
    rgb: np.ndarray, face_index: int | None, size: int | str | None, alpha: np.ndarray | None = None
) -> Photo:
    """Find the face of a picture uint8 [H, W, 3]. Raises FaceError.

    `alpha` uint8 [H, W]: the picture's own transparency; with a transparent background that is where the person is, and
    nothing is guessed. None: opaque.
    `size` keeps a larger picture, never a smaller one: a crop of that size needs all the detail there is.
    """
    from talkingface.face.track import track_image

    longest = max(rgb.shape[:2])
    limit = longest if size == "native" else max(LONGEST_PX, int(size or 0))
    rgb = np.ascontiguousarray(_longest(rgb, min(limit, longest)))
    face = track_image(rgb, face_index)
    photo = _photo(rgb, face.landmarks, face.num_faces if face_index is None else 1)
    if alpha is None:
        return photo
    return Photo(photo.tensors | {"matte": shrink(alpha, (rgb.shape[1], rgb.shape[0]))}, photo.notes)


def best_photo(tracked: TrackedClip, face_index: int | None) -> Photo:
    """The frame of a clip that serves best as a photo, with the face that was followed."""
    from talkingface.clips.tracked import best_frame
    from talkingface.face.detect import detect_faces

    rgb, landmarks = best_frame(tracked, _cost_as_photo(tracked.track))
    return _photo(rgb, landmarks, len(detect_faces(rgb)) if face_index is None else 1)


def _photo(rgb: np.ndarray, landmarks: np.ndarray, num_faces: int) -> Photo:
    from talkingface.systems.pcavs.alignment.align import outside

    notes = []
    if num_faces > 1:
        notes.append(
            f"{num_faces} faces found, the largest is used; --face-index chooses another, counted from the left"
        )
    high = float(np.ptp(landmarks[:, :2], axis=0).max())
    if high < SMALL_FACE_PX:
        notes.append(f"the face is only {high:.0f} px high; a larger picture gives a sharper result")
    matrix = similarity(three_points(landmarks[None]))
    if outside(matrix, (rgb.shape[1], rgb.shape[0])) > CUT_OFF:
        notes.append(
            "the face reaches the picture's edge; what lies beyond is made up, a picture with more room is better"
        )
    return Photo({"rgb": rgb, "landmarks": landmarks}, notes)


def _cost_as_photo(track: Track) -> np.ndarray:
    """How badly each frame [T] would serve as a photo: least with open eyes, the mouth at rest, looking ahead."""
    from talkingface.face.blink import eye_aspect
    from talkingface.face.morphable import fit_track, load_mesh478
    from talkingface.face.mouth_measures import mouth_measures

    open_eyes = eye_aspect(track.landmarks)
    turned = np.abs(fit_track(load_mesh478(), track).rotation[:, 0, 2])  # sine of yaw
    rested = 4 * mouth_measures(track.landmarks)[:, 0] + turned
    return rested - open_eyes / max(float(np.percentile(open_eyes, 80)), 1e-6)


class Painter:
    """Draws motion onto an avatar's photo."""

    def __init__(self, avatar: Avatar, talker: Talker, controls: Controls) -> None:
        rgb, landmarks = avatar.tensors["rgb"], avatar.tensors["landmarks"]
        whole = controls.crop == "full"
        if whole and isinstance(controls.size, int):
            rgb, was = np.ascontiguousarray(_longest(rgb, controls.size)), rgb
            landmarks = landmarks * np.float32(max(rgb.shape[:2]) / max(was.shape[:2]))
        matrix = similarity(three_points(landmarks[None]))
        native = SIDE_PX / float(np.hypot(matrix[0, 0], matrix[1, 0]))
        matte = None
        if controls.background == "transparent":
            rgb, matte = _cut_out(rgb, avatar.tensors.get("matte"))
        side = _side(native, None if whole else controls.size)
        self._talker, self._silence = talker, talker.silence
        self._face = talker.face(rgb, landmarks, matte, side)
        self._size = controls.size if isinstance(controls.size, int) and not whole else self._face.square.side
        self._place = Place(rgb, self._face.square) if whole else None
        self._around = matte if whole else None

    def frames(self, motions: Iterator[Motion]) -> Iterator[Frames]:
        """Pictures for a stream of motion, frame for frame. The networks draw one batch while the last is finished."""
        with ThreadPoolExecutor(2) as pool:
            making: deque[Future[Frames]] = deque()
            for start, rows in batches(motions, BATCH):
                if len(making) == 2:
                    yield making.popleft().result()
                making.append(pool.submit(self._make, start, rows))
            while making:
                yield making.popleft().result()

    def _make(self, start: int, motion: Motion) -> Frames:
        count = len(motion)
        pose = np.zeros((count, len(self._face.rest)), np.float32) if motion.pose is None else motion.pose
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


def _longest(rgb: np.ndarray, longest_px: int) -> np.ndarray:
    """The picture with its longer side of so many pixels."""
    scale = longest_px / max(rgb.shape[:2])
    return shrink(rgb, (max(2, round(rgb.shape[1] * scale)), max(2, round(rgb.shape[0] * scale))))


def _side(native_px: float, size: int | str | None) -> int:
    """Side in pixels of the squares to draw, even."""
    if isinstance(size, int):
        return min(max(size, 64), 1024) // 2 * 2
    most = 2048 if size == "native" else MOST_SIDE_PX
    return int(min(max(native_px, LEAST_SIDE_PX), most)) // 2 * 2
