"""One face followed through a picture or a video: 478 points a frame, gaps filled, confidence kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from talkingface.core.errors import FaceError
from talkingface.core.types import NUM_POINTS, Track
from talkingface.face import mediapipe_models
from talkingface.face.detect import MIN_FACE_PX, FaceBox, detect_faces, square_crop
from talkingface.face.resize_area import shrink_area

VERSION = 2
"""Raise when results change: cached tracks of other versions are ignored."""

REGION = 2.4  # the tracker sees a square this many times the face box
MAX_REGION_PX = 640
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
    mesh = mediapipe_models.face_mesh(video=False)
    try:
        points = _mesh_in_box(mesh, rgb, box)
    finally:
        mesh.close()
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


def _mesh_in_box(mesh: mediapipe_models.Model, rgb: np.ndarray, box: FaceBox) -> np.ndarray | None:
    crop, offset = square_crop(rgb, box.centre, REGION * box.side_px)
    return _mesh_in_crop(mesh, crop, offset)


def _mesh_in_crop(mesh: mediapipe_models.Model, crop: np.ndarray, offset: tuple[int, int]) -> np.ndarray | None:
    side = crop.shape[0]
    if side > MAX_REGION_PX:
        crop = shrink_area(crop, (MAX_REGION_PX, MAX_REGION_PX))
    found = mesh.process(crop).multi_face_landmarks
    if not found:
        return None
    points = np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32) * side
    points[:, :2] += offset
    return points


class FaceTracker:
    """Follows one face; call `update` with upright frames in order.

    The mesh looks at a square around the face that stays put until the face nears its edge: a still
    window keeps its frame-to-frame tracking valid, however small the face is in the whole frame.
    """

    def __init__(self, face_index: int | None = None) -> None:
        self._face_index = face_index
        self._mesh = mediapipe_models.face_mesh(video=True)
        self._window: tuple[tuple[float, float], float] | None = None
        self._last: np.ndarray | None = None
        self._misses = 0
        self.num_faces = 0

    def update(self, rgb: np.ndarray) -> np.ndarray | None:
        """Landmarks float32 [478, 3] in pixels of `rgb`, or None where the face is not seen."""
        points = self._look(rgb) if self._window is not None else None
        if points is None and self._find(rgb):
            points = self._look(rgb)
        if points is None:
            return None
        self._last = points
        self._keep_centred(points)
        return points

    def close(self) -> None:
        """Free the graph."""
        self._mesh.close()

    def _look(self, rgb: np.ndarray) -> np.ndarray | None:
        assert self._window is not None
        crop, offset = square_crop(rgb, *self._window)
        return _mesh_in_crop(self._mesh, crop, offset)

    def _find(self, rgb: np.ndarray) -> bool:
        boxes = detect_faces(rgb, thorough=self._misses % THOROUGH_EVERY == 0)
        if not boxes:
            self._misses += 1
            self._set_window(None)
            return False
        self._misses = 0
        self.num_faces = max(self.num_faces, len(boxes))
        if self._last is not None:  # after a gap: the same face is the nearest one
            centre = self._last[:, :2].mean(0)
            box = min(boxes, key=lambda b: float(np.hypot(*(np.array(b.centre) - centre))))
        else:
            box = choose_face(boxes, self._face_index)
        self._set_window((box.centre, REGION * box.side_px))
        return True

    def _set_window(self, window: tuple[tuple[float, float], float] | None) -> None:
        if self._window is not None:
            self._mesh.reset()  # its notion of the previous face belongs to the old window
        self._window = window

    def _keep_centred(self, points: np.ndarray) -> None:
        assert self._window is not None
        (cx, cy), side = self._window
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        face = float((high - low).max())
        x, y = (low + high) / 2
        room = side / 2 - face / 2
        if max(abs(x - cx), abs(y - cy)) > 0.7 * room or not 1.6 < side / face < 3.2:
            self._set_window(((float(x), float(y)), 0.85 * REGION * face))


def track_frames(frames: Iterable[tuple[np.ndarray, float]], face_index: int | None = None) -> Track:
    """Track the face through (rgb, time in seconds) pairs; gaps are interpolated and get confidence 0.

    Raises FaceError when no frame shows a face, or fewer than one in ten.
    """
    tracker = FaceTracker(face_index)
    found: list[np.ndarray | None] = []
    times: list[float] = []
    size = (0, 0)
    try:
        for rgb, time_s in frames:
            found.append(tracker.update(rgb))
            times.append(time_s)
            size = (rgb.shape[1], rgb.shape[0])
    finally:
        tracker.close()
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
