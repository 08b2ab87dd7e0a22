"""Motion in space `mesh478` from a tracked face: one formula for every system with this space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from talkingface.core.errors import UsageError
from talkingface.core.types import Controls, Motion, Track
from talkingface.face.blink import eye_closure
from talkingface.face.camera import from_euler_degrees, rotation_vector
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import FaceFit, fit_photo, fit_track, load_mesh478
from talkingface.face.pose import STABLE_POINTS, Pose, fit_similarity, undo_similarity
from talkingface.face.track import smooth_track

SAME_FACE = 0.032  # root mean square distance of two quiet faces' points, in eye distances, below which they are one


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingHead:
    """An avatar's head at rest: landmarks `points` [478, 3] in pixels of its picture of `size` (width, height)."""

    points: np.ndarray
    size: tuple[int, int]


def mean_pose(rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, seen: np.ndarray) -> Pose:
    """The mean of head poses [T, ...] over the frames `seen` bool [T]; sizes count by their logarithms."""
    return Pose(
        rotation=Rotation.from_matrix(rotation[seen]).mean().as_matrix(),
        scale=float(np.exp(np.log(scale[seen]).mean())),
        translation=translation[seen].mean(axis=0),
    )


def pose_rows(rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, rest: Pose) -> np.ndarray:
    """Pose rows float64 [T, 6] of heads [T, ...] as seen from `rest` (see `core.types.Motion`).

    Rotation vector, shift x and y in eye distances of the head at rest, logarithm of the size.
    """
    turn = (Rotation.from_matrix(rotation) * Rotation.from_matrix(rest.rotation).inv()).as_rotvec()
    shift = (translation[:, :2] - rest.translation[:2]) / rest.scale
    return np.concatenate([turn, shift, np.log(scale / rest.scale)[:, None]], axis=1)


def pose_of_row(row: np.ndarray, rest: Pose) -> Pose:
    """The inverse of `pose_rows` for one row [6]; the depth is that of `rest`."""
    shift = np.array([row[3] * rest.scale, row[4] * rest.scale, 0.0])
    return Pose(
        rotation=Rotation.from_rotvec(row[:3]).as_matrix() @ rest.rotation,
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
    fit = _fit(track, head)
    pose = _poses(fit, track, controls.pose_origin or "first", head)
    return Motion(
        space=MESH478.name,
        space_version=MESH478.version,
        expression=(fit.expression * controls.expression_scale).astype(np.float32),
        pose=pose.astype(np.float32) * np.float32(controls.pose_scale),
        blink=eye_closure(track.landmarks),
        fps=fps,
    )


def _fit(track: Track, head: RestingHead | None) -> FaceFit:
    """The track's fit about the driver's own quiet face; about the avatar's, if that is the same face by its shape.

    So a face that drives its own photo rests in it, whatever expression the photo shows.
    """
    model = load_mesh478()
    fit = fit_track(model, track)
    if head is None:
        return fit
    resting = fit_photo(model, head.points).resting
    pose = fit_similarity(resting[STABLE_POINTS].astype(np.float64), fit.neutral[STABLE_POINTS].astype(np.float64))
    apart = undo_similarity(fit.neutral.astype(np.float64), *pose) - resting
    if np.sqrt(np.square(apart).sum(-1).mean()) > SAME_FACE:
        return fit
    return fit_track(model, track, resting)


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
