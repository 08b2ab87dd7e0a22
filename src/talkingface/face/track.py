"""One face followed through a picture or a video: 478 points a frame, gaps filled, confidence kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from talkingface.core.errors import FaceError
from talkingface.core.types import NUM_POINTS, Track
from talkingface.face.cuts import CutFinder
from talkingface.face.detect import MIN_FACE_PX, FaceBox, detect_faces
from talkingface.face.likeness import SAME_PERSON, Look, distance, look_of
from talkingface.face.mesh import MIN_PRESENCE, Region, find_mesh, next_region, region_of, region_of_box
from talkingface.face.search import find_faces

VERSION = 4
"""Raise when results change: cached tracks of other versions are ignored."""

SMOOTHING_FRAMES = 1.0
THOROUGH_EVERY = 10  # while no face is in sight, small ones are searched for in every tenth frame only
RECHECK_EVERY = 5  # frames between two checks of people who are not the one to follow
LOOK_EVERY, MOST_LOOKS = 25, 8  # frames whose look is remembered
MOST_CANDIDATES = 6
BRIDGED_S = 0.4
"""A face that is missed for longer is gone: whatever hides it would be painted over."""
JUMP = 0.35
"""Move from one frame to the next, in face sizes, that no head makes: it is a cut."""
GROWTH = 0.3
"""The same of the logarithm of its size."""
LEAST_SPAN = 3
"""Frames; what is seen for less is a mistake or a flash."""
SMALL_FACE_PX = 96
"""Height of a photo's face below which a larger picture is advised."""
TURNED = {1: "lies on its side", 2: "stands on its head", 3: "lies on its side"}
"""What is said of a picture that had to be turned by so many quarters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceInPicture:
    """The face of a still picture: `landmarks` float32 [478, 3], pixels of `rgb`; `num_faces` seen in all.

    `rgb` is the picture turned counter-clockwise by `turns` quarters; `notes` are sentences for the user.
    """

    rgb: np.ndarray
    landmarks: np.ndarray
    num_faces: int
    turns: int = 0
    notes: tuple[str, ...] = ()


def track_image(rgb: np.ndarray, face_index: int | None = None, *, turned: bool = False) -> FaceInPicture:
    """Find the face of a still picture uint8 [H, W, 3].

    `face_index` counts faces from left to right; None takes the largest. `turned`: a picture that lies on its side or
    stands on its head is turned upright. Raises FaceError when there is no face, the index is too high, or the face is
    too small or cut off.
    """
    found = find_faces(rgb, turned=turned)
    rgb, boxes = found.rgb, found.boxes
    if not boxes:
        raise FaceError("no face found in the picture; use one that shows a face from the front, at least 100 px high")
    box = choose_face(boxes, face_index)
    if box.side_px < MIN_FACE_PX:
        raise FaceError(
            f"the face is only {int(box.side_px)} px high (at least {MIN_FACE_PX} are needed); use a larger picture"
        )
    points = _points_in_box(rgb, box)
    if points is None:
        raise FaceError("a face was found, but no landmarks; use a sharper picture that shows the whole face")
    h, w = rgb.shape[:2]
    outside = (points[:, 0] < 0) | (points[:, 0] >= w) | (points[:, 1] < 0) | (points[:, 1] >= h)
    if outside.mean() > 0.12:
        raise FaceError(f"{outside.mean():.0%} of the face lies outside the picture; use one that shows the whole face")
    notes = [f"the picture {TURNED[found.turns]}; it is turned upright"] if found.turns else []
    if found.is_faint:
        notes.append("the face is hard to make out; a clearer picture gives a better result")
    return FaceInPicture(rgb=rgb, landmarks=points, num_faces=len(boxes), turns=found.turns, notes=tuple(notes))


def face_notes(landmarks: np.ndarray, num_faces: int) -> list[str]:
    """Sentences for the user about the face of a photo, `landmarks` [478, 3]: that it is small, or that there are
    others (`num_faces` in all; 1 if the user chose)."""
    notes = []
    if num_faces > 1:
        notes.append(
            f"{num_faces} faces found, the largest is used; --face-index chooses another, counted from the left"
        )
    high = float(np.ptp(landmarks[:, :2], axis=0).max())
    if high < SMALL_FACE_PX:
        notes.append(f"the face is only {high:.0f} px high; a larger picture gives a sharper result")
    return notes


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
    """Follows one person's face; call `update` with upright frames in order. One object a video and thread.

    After a cut, or a longer absence, the face that looks most like the one before is taken, if it is like it at all.
    """

    def __init__(self, face_index: int | None = None) -> None:
        self._face_index = face_index
        self._cuts = CutFinder()
        self._region: Region | None = None
        self._last: np.ndarray | None = None
        self._seen_s = -np.inf
        self._looks: list[Look] = []
        self._misses = self._hits = 0
        self._is_other_shot = self._is_other_person = False
        self.is_cut = False
        """Whether the last frame began another shot."""

    def update(self, rgb: np.ndarray, time_s: float) -> np.ndarray | None:
        """Landmarks float32 [478, 3] in pixels of `rgb`, or None where the face is not seen."""
        self.is_cut = self._cuts.is_cut(rgb)
        if self.is_cut:
            self._region = None
            self._misses, self._is_other_shot, self._is_other_person = 0, True, False
        points = None
        if self._region is not None:
            mesh = find_mesh(rgb, self._region)
            points = mesh.points if mesh.presence >= MIN_PRESENCE else None
            self._region = None if points is None else next_region(self._region, mesh.points)
        if points is None:
            points = self._find(rgb, time_s)
            self._region = None if points is None else region_of(points)
        if points is None:
            return None
        if self._hits % LOOK_EVERY == 0 and len(self._looks) < MOST_LOOKS:
            self._looks.append(look_of(rgb, points))
        self._hits += 1
        self._last, self._seen_s, self._is_other_shot = points, time_s, False
        return points

    def _find(self, rgb: np.ndarray, time_s: float) -> np.ndarray | None:
        """The points of the face to follow, if it is there."""
        self._misses += 1
        if self._is_other_person and self._misses % RECHECK_EVERY:
            return None
        boxes = detect_faces(rgb, thorough=self._misses % THOROUGH_EVERY == 1)
        points = self._choose(rgb, boxes, time_s) if boxes else None
        self._is_other_person = bool(boxes) and points is None
        if points is not None:
            self._misses = 0
        return points

    def _choose(self, rgb: np.ndarray, boxes: list[FaceBox], time_s: float) -> np.ndarray | None:
        """The points in the right one of some boxes; None if all are other people's."""
        if self._last is None:
            return _points_in_box(rgb, choose_face(boxes, self._face_index))
        if not self._is_other_shot and time_s - self._seen_s <= BRIDGED_S + 1e-6:
            # hidden for a moment: the nearest face is the same, unless it is far off
            low, high = self._last[:, :2].min(0), self._last[:, :2].max(0)
            away = [float(np.hypot(*(np.array(box.centre) - (low + high) / 2))) for box in boxes]
            if min(away) < float((high - low).max()):
                return _points_in_box(rgb, boxes[int(np.argmin(away))])
        faces = [points for box in boxes[:MOST_CANDIDATES] if (points := _points_in_box(rgb, box)) is not None]
        apart = [distance(look_of(rgb, points), self._looks) for points in faces]
        return faces[int(np.argmin(apart))] if apart and min(apart) < SAME_PERSON else None


def track_frames(frames: Iterable[tuple[np.ndarray, float]], face_index: int | None = None) -> Track:
    """Track the face through (rgb, time in seconds) pairs; gaps are interpolated and get confidence 0.

    Raises FaceError when no frame shows a face, or fewer than one in ten.
    """
    tracker = FaceTracker(face_index)
    found: list[np.ndarray | None] = []
    times: list[float] = []
    cuts: list[int] = []
    size = (0, 0)
    for rgb, time_s in frames:
        found.append(tracker.update(rgb, time_s))
        if tracker.is_cut:
            cuts.append(len(times))
        times.append(time_s)
        size = (rgb.shape[1], rgb.shape[0])
    return fill_gaps(found, np.array(times, np.float64), size, cuts)


def smooth_track(track: Track) -> Track:
    """The track without the mesh's jitter: a Gaussian of one frame over time, in each span for itself."""
    return replace(track, landmarks=smooth_spans(track.landmarks, track.spans, SMOOTHING_FRAMES))


def smooth_spans(rows: np.ndarray, spans: Iterable[tuple[int, int]], frames: float) -> np.ndarray:
    """Rows [T, ...] under a Gaussian over time of `frames` standard deviation that ends where a span ends."""
    from scipy.ndimage import gaussian_filter1d  # imported here: it takes a quarter of a second, and photos need it not

    smooth = np.array(rows)
    for first, end in spans:
        smooth[first:end] = gaussian_filter1d(rows[first:end], frames, axis=0, mode="nearest")
    return smooth


def bridge(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows [T, D] with those that are not `known` [T] interpolated between their neighbours in time."""
    if known.all():
        return rows
    at, where = np.flatnonzero(known), np.arange(len(rows))
    columns = [np.interp(where, at, rows[at, k]) for k in range(rows.shape[1])]
    return np.stack(columns, axis=1).astype(rows.dtype)


def fill_gaps(
    found: list[np.ndarray | None], times_s: np.ndarray, size: tuple[int, int], cuts: Iterable[int] = ()
) -> Track:
    """A complete Track from per-frame results with gaps (None), linear in time between neighbours.

    `cuts`: numbers of the frames with which another shot begins.
    """
    seen = np.array([points is not None for points in found], bool)
    if seen.sum() < max(1, 0.1 * len(found)):
        raise FaceError(
            f"a face was seen in only {int(seen.sum())} of {len(found)} frames; "
            "use a video that shows one face throughout"
        )
    spans = _spans(np.flatnonzero(seen), np.stack([p for p in found if p is not None]), times_s, cuts)
    for first, end in zip([0, *(end for _, end in spans)], [*(first for first, _ in spans), len(found)], strict=True):
        seen[first:end] = False
    rows = np.zeros((len(found), NUM_POINTS * 3), np.float32)
    rows[seen] = np.stack(
        [points for points, there in zip(found, seen, strict=True) if there and points is not None]
    ).reshape(int(seen.sum()), -1)
    return Track(
        landmarks=bridge(rows, seen).reshape(-1, NUM_POINTS, 3),
        times_s=times_s,
        confidence=seen.astype(np.float32),
        size=size,
        spans=spans,
    )


def _spans(at: np.ndarray, points: np.ndarray, times_s: np.ndarray, cuts: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Runs [first, end) of the frames `at` which the face was seen, with `points` there."""
    low, high = points[..., :2].min(1), points[..., :2].max(1)
    sides = np.maximum((high - low).max(1), 1.0)
    jumps = np.linalg.norm(np.diff((low + high) / 2, axis=0), axis=1) / sides[:-1]
    growth = np.abs(np.log(sides[1:] / sides[:-1]))
    gaps = np.diff(at)
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    missed_s = np.diff(times_s[at]) - step_s
    is_cut = np.searchsorted(np.sort(np.array(list(cuts), int)), at, side="right")
    apart = np.diff(is_cut) > 0
    apart |= (gaps > 1) & (missed_s > BRIDGED_S + 1e-6)
    apart |= (jumps > np.where(gaps > 1, 1.0, JUMP)) | (growth > GROWTH)
    edges = np.flatnonzero(apart) + 1
    runs = [(int(at[first]), int(at[end - 1]) + 1) for first, end in zip([0, *edges], [*edges, len(at)], strict=True)]
    long = tuple(run for run in runs if run[1] - run[0] >= LEAST_SPAN)
    return long or tuple(runs)
