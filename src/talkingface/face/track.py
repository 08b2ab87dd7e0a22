"""One face followed through a picture or a video: 478 points a frame, gaps filled, confidence kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from talkingface.core.errors import FaceError
from talkingface.core.types import NUM_POINTS, Track
from talkingface.face.detect import MIN_FACE_PX, FaceBox, detect_faces
from talkingface.face.mesh import MIN_PRESENCE, Region, find_mesh, region_of, region_of_box

VERSION = 2
"""Raise when results change: cached tracks of other versions are ignored."""

SMOOTHING_FRAMES = 1.0
THOROUGH_EVERY = 10  # while no face is in sight, small ones are searched for in every tenth frame only


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceInPicture:
    """The tracked face of a still picture: `landmarks` float32 [478, 3] pixels; `num_faces` seen in all."""

    landmarks: np.ndarray
    num_faces: int


def track_image(rgb: np.ndarray, face_index: int | None = None) -> FaceInPicture:
    """Find the face of a still picture.

    `rgb` uint8 [H, W, 3] upright. `face_index` counts faces from left to right; None takes the largest.
    Raises FaceError when there is no face, the index is too high, or the face is too small or cut off.
    """
    boxes = detect_faces(rgb)
    if not boxes:
        raise FaceError("no face found in the picture; use one that shows a face from the front, at least 100 px high")
    box = choose_face(boxes, face_index)
    if box.side_px < MIN_FACE_PX:
        raise FaceError(
            f"the face is only {box.side_px:.0f} px high (at least {MIN_FACE_PX} are needed); use a larger picture"
        )
    points = _points_in_box(rgb, box)
    if points is None:
        raise FaceError("a face was found, but not its features; use a sharper picture that shows the whole face")
    h, w = rgb.shape[:2]
    outside = (points[:, 0] < 0) | (points[:, 0] >= w) | (points[:, 1] < 0) | (points[:, 1] >= h)
    if outside.mean() > 0.12:
        raise FaceError(f"{outside.mean():.0%} of the face lies outside the picture; use one that shows the whole face")
    return FaceInPicture(landmarks=points, num_faces=len(boxes))


def choose_face(boxes: list[FaceBox], face_index: int | None) -> FaceBox:
    """The largest face, or the `face_index`-th from the left (0 first). Raises FaceError for a high index."""
    if face_index is None:
        return boxes[0]
    if not 0 <= face_index < len(boxes):
        raise FaceError(
            f"--face-index {face_index} asks for a face that is not there; {len(boxes)} found, count from 0"
        )
    return sorted(boxes, key=lambda b: b.x0)[face_index]


def _points_in_box(rgb: np.ndarray, box: FaceBox) -> np.ndarray | None:
    """The points of a detected face, or None if it is none. The second look, where the first found it, is better."""
    first = find_mesh(rgb, region_of_box(box))
    if first.presence < MIN_PRESENCE:
        return None
    second = find_mesh(rgb, region_of(first.points))
    return second.points if second.presence >= MIN_PRESENCE else None


class FaceTracker:
    """Follows one face; call `update` with upright frames in order. One object a video and thread."""

    def __init__(self, face_index: int | None = None) -> None:
        self._face_index = face_index
        self._region: Region | None = None
        self._last: np.ndarray | None = None
        self._misses = 0
        self.num_faces = 0

    def update(self, rgb: np.ndarray) -> np.ndarray | None:
        """Landmarks float32 [478, 3] in pixels of `rgb`, or None where the face is not seen."""
        points = None
        if self._region is not None:
            mesh = find_mesh(rgb, self._region)
            points = mesh.points if mesh.presence >= MIN_PRESENCE else None
        if points is None and (box := self._find(rgb)) is not None:
            points = _points_in_box(rgb, box)
        self._region = None if points is None else region_of(points)
        if points is not None:
            self._last = points
        return points

    def _find(self, rgb: np.ndarray) -> FaceBox | None:
        boxes = detect_faces(rgb, thorough=self._misses % THOROUGH_EVERY == 0)
        if not boxes:
            self._misses += 1
            return None
        self._misses = 0
        self.num_faces = max(self.num_faces, len(boxes))
        if self._last is None:
            return choose_face(boxes, self._face_index)
        centre = self._last[:, :2].mean(0)  # after a gap: the same face is the nearest one
        return min(boxes, key=lambda b: float(np.hypot(*(np.array(b.centre) - centre))))


def track_frames(frames: Iterable[tuple[np.ndarray, float]], face_index: int | None = None) -> Track:
    """Track the face through (rgb, time in seconds) pairs; gaps are interpolated and get confidence 0.

    Raises FaceError when no frame shows a face, or fewer than one in ten.
    """
    tracker = FaceTracker(face_index)
    found: list[np.ndarray | None] = []
    times: list[float] = []
    size = (0, 0)
    for rgb, time_s in frames:
        found.append(tracker.update(rgb))
        times.append(time_s)
        size = (rgb.shape[1], rgb.shape[0])
    return fill_gaps(found, np.array(times, np.float64), size)


def smooth_track(track: Track) -> Track:
    """The track without the mesh's jitter: a Gaussian of one frame over time, for motion that drives another face."""
    from scipy.ndimage import gaussian_filter1d  # imported here: it takes a quarter of a second, and photos need it not

    landmarks = gaussian_filter1d(track.landmarks, SMOOTHING_FRAMES, axis=0, mode="nearest")
    return replace(track, landmarks=landmarks)


def fill_gaps(found: list[np.ndarray | None], times_s: np.ndarray, size: tuple[int, int]) -> Track:
    """A complete Track from per-frame results with gaps (None), linear in time between neighbours."""
    seen = np.array([points is not None for points in found], bool)
    if seen.sum() < max(1, 0.1 * len(found)):
        raise FaceError(
            f"a face was seen in only {int(seen.sum())} of {len(found)} frames; "
            "use a video that shows one face throughout"
        )
    rows = np.stack([points for points in found if points is not None]).reshape(int(seen.sum()), -1)
    if seen.all():
        full = rows
    else:
        at, where = np.flatnonzero(seen), np.arange(len(found))
        full = np.stack([np.interp(where, at, rows[:, k]) for k in range(rows.shape[1])], axis=1)
    return Track(
        landmarks=np.ascontiguousarray(full.reshape(-1, NUM_POINTS, 3), dtype=np.float32),
        times_s=times_s,
        confidence=seen.astype(np.float32),
        size=size,
    )
