"""Head motion in figures: how far and how fast a head turns, against what real heads do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHANNELS = ("pitch", "yaw")


def pose_angles(pose: np.ndarray) -> np.ndarray:
    """Pitch and yaw in degrees [T, 2] about the mean, from pose [T, >= 3] that begins with a rotation vector."""
    angles = np.degrees(pose[:, :2].astype(np.float64))
    return angles - angles.mean(axis=0)


def angle_speeds(angles: np.ndarray, fps: float) -> np.ndarray:
    """Degrees per second [T - 2, 2], over two frames so that tracker noise counts less."""
    return (angles[2:] - angles[:-2]) * fps / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseRange:
    """5 to 95 % range of angle (degrees about the mean) and speed (degrees per second): [2 channels, low and high]."""

    angle: np.ndarray
    speed: np.ndarray


def pose_range(poses: list[np.ndarray], fps: float) -> PoseRange:
    """The range over many clips' poses [T, >= 3]."""
    angles = [pose_angles(pose) for pose in poses if len(pose) > 2]
    speeds = [angle_speeds(values, fps) for values in angles]
    return PoseRange(
        angle=np.percentile(np.concatenate(angles), [5, 95], axis=0).T,
        speed=np.percentile(np.concatenate(speeds), [5, 95], axis=0).T,
    )


def share_inside(pose: np.ndarray, fps: float, allowed: PoseRange) -> np.ndarray:
    """Share of frames within `allowed`: float [4], pitch, yaw, pitch speed, yaw speed."""
    angles = pose_angles(pose)
    shares = []
    for values, (low, high) in (
        *zip(angles.T, allowed.angle, strict=True),
        *zip(angle_speeds(angles, fps).T, allowed.speed, strict=True),
    ):
        shares.append(float(((values >= low) & (values <= high)).mean()))
    return np.asarray(shares)
