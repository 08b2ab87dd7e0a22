"""Motion in space `mesh478` from a tracked face: one formula for every system with this space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import transform

from talkingface.core.errors import UsageError
from talkingface.core.types import Controls, Motion, Track
from talkingface.face.blink import eye_closure
from talkingface.face.camera import from_euler_degrees, rotation_vector
from talkingface.face.gaze import gaze_rows
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import FaceFit, fit_photo, fit_track, load_mesh478
from talkingface.face.pose import STABLE_POINTS, Pose, fit_similarity, undo_similarity
from talkingface.face.track import bridge, smooth_track

MOST_CLOSED, GAZE_FRAMES = 0.4, 5  # eyes more closed hide where they look; frames over which it is a median
SAME_FACE = 0.032  # root mean square distance of two quiet faces' points, in eye distances, below which they are one


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingHead:
    """An avatar's head at rest: landmarks `points` [478, 3] in pixels of its picture of `size` (width, height)."""

    points: np.ndarray
    size: tuple[int, int]


def mean_pose(rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, seen: np.ndarray) -> Pose:
    """The mean of head poses [T, ...] over the frames `seen` bool [T]; sizes count by their logarithms."""
    return Pose(
        rotation=transform.Rotation.from_matrix(rotation[seen]).mean().as_matrix(),
        scale=float(np.exp(np.log(scale[seen]).mean())),
        translation=translation[seen].mean(axis=0),
    )


def pose_rows(rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, rest: Pose) -> np.ndarray:
    """Pose rows float64 [T, 6] of heads [T, ...] as seen from `rest` (see `core.types.Motion`).

    Rotation vector, shift x and y in eye distances of the head at rest, logarithm of the size.
    """
    turn = (transform.Rotation.from_matrix(rotation) * transform.Rotation.from_matrix(rest.rotation).inv()).as_rotvec()
    shift = (translation[:, :2] - rest.translation[:2]) / rest.scale
    return np.concatenate([turn, shift, np.log(scale / rest.scale)[:, None]], axis=1)


def pose_of_row(row: np.ndarray, rest: Pose) -> Pose:
    """The inverse of `pose_rows` for one row [6]; the depth is that of `rest`."""
    shift = np.array([row[3] * rest.scale, row[4] * rest.scale, 0.0])
    return Pose(
        rotation=transform.Rotation.from_rotvec(row[:3]).as_matrix() @ rest.rotation,
        scale=rest.scale * float(np.exp(row[5])),
        translation=rest.translation + shift,
    )


def turned_rows(angles_rad: np.ndarray) -> np.ndarray:
    """Pose rows float32 [T, 6] of heads that only turn, by yaw, pitch, roll [T, 3] (see `System.pose_from_angles`)."""
    rows = np.zeros((len(angles_rad), 6), np.float32)
    rows[:, :3] = rotation_vector(np.asarray(from_euler_degrees(np.degrees(angles_rad))))
    return rows


def driven_motion(track: Track, fps: float, controls: Controls, head: RestingHead | None) -> Motion:
    """The motion of a person whose face was tracked at `fps`, for an avatar whose head rests as `head` says.

    Poses are those of `controls.pose_origin`: about the driver's first frame that shows the face, about the driver's
    mean, or where the driver's head is in the picture. Raises UsageError for the last without `head`.
    """
    track = smooth_track(track)
    model = load_mesh478()
    fit = fit_track(model, track)
    own = _own_head(fit, head)
    if own is not None:  # so a face that drives its own photo rests in it, whatever expression the photo shows
        fit = fit_track(model, track, fit_photo(model, own.points).resting)
    pose = _poses(fit, track, controls.pose_origin or "first", head).astype(np.float32) * np.float32(
        controls.pose_scale
    )
    return Motion(
        space=MESH478.name,
        space_version=MESH478.version,
        expression=(fit.expression * controls.expression_scale).astype(np.float32),
        pose=pose,
        blink=eye_closure(track.landmarks),
        gaze=_gaze(track, pose, own) * np.float32(controls.gaze),
        fps=fps,
    )


def _own_head(fit: FaceFit, head: RestingHead | None) -> RestingHead | None:
    """The avatar's head if it is the driver's own, by its shape; else None."""
    if head is None:
        return None
    resting, neutral = fit_photo(load_mesh478(), head.points).resting, fit.neutral.astype(np.float64)
    pose = fit_similarity(resting[STABLE_POINTS].astype(np.float64), neutral[STABLE_POINTS])
    apart = undo_similarity(neutral, *pose) - resting
    return head if np.sqrt(np.square(apart).sum(-1).mean()) < SAME_FACE else None


def _gaze(track: Track, pose: np.ndarray, own: RestingHead | None) -> np.ndarray:
    """Where the driver's eyes look, float32 [T, 2]; irises move in the head as theirs.

    About where they mostly look, or in the driver's `own` photo, where they look there.
    """
    from scipy.ndimage import median_filter  # imported here: it takes a quarter of a second

    def in_head(landmarks: np.ndarray) -> np.ndarray:
        return gaze_rows(landmarks, np.zeros((len(landmarks), 2)))

    open_eyes = (eye_closure(track.landmarks)[:, 0] < MOST_CLOSED) & (track.confidence > 0)
    rows = median_filter(bridge(in_head(track.landmarks), open_eyes), size=(GAZE_FRAMES, 1), mode="nearest")
    rest = np.median(rows, axis=0) if own is None else in_head(own.points[None])[0]
    return (rows - rest + np.stack([-pose[:, 1], pose[:, 0]], axis=1)).astype(np.float32)


def pose_on(fit: FaceFit, points: np.ndarray) -> Pose:
    """The pose in which a driver's own neutral shape lies on the avatar's points [478, 3]: a face that drives itself
    rests exactly there."""
    rotation, scale, translation = fit_similarity(fit.neutral[STABLE_POINTS], points[STABLE_POINTS])
    return Pose(rotation=rotation, scale=float(scale), translation=translation)


def _poses(fit: FaceFit, track: Track, origin: str, head: RestingHead | None) -> np.ndarray:
    heads, seen = (fit.rotation, fit.scale, fit.translation), track.confidence > 0
    if origin == "mean":
        return pose_rows(*heads, mean_pose(*heads, seen))
    if origin == "first":
        first = int(seen.argmax())
        rest = Pose(rotation=fit.rotation[first], scale=float(fit.scale[first]), translation=fit.translation[first])
        return pose_rows(*heads, rest)
    if head is None:
        raise UsageError("--pose-origin none needs a face to measure against; name it with --face")
    rest = pose_on(fit, head.points)
    share = np.array(head.size) / track.size  # shares of the picture, if the two pictures differ
    moved = np.column_stack([fit.translation[:, :2] * share, fit.translation[:, 2]])
    return pose_rows(fit.rotation, fit.scale * float(np.sqrt(share.prod())), moved, rest)
