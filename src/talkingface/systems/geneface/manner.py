"""A person's manner: how their head, lids and eyes move in the clip, as an avatar keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.core.motion import ping_pong
from talkingface.face.blink import eye_closure
from talkingface.face.eye_motion import BLINKS_PER_MINUTE
from talkingface.face.gaze import gaze_rows
from talkingface.face.mesh478_motion import RestingHead
from talkingface.face.pose import Pose
from talkingface.metrics.behaviour import find_blinks
from talkingface.person.clip import FPS, PersonClip
from talkingface.person.eyes import lids_of
from talkingface.person.heads import frame_pose
from talkingface.training.head_motion_fit import blink_profile

SMOOTHING_FRAMES = 7  # of the clip's own head poses, as in the published program
MOST_ROWS = 7500  # of head poses that an avatar keeps: five minutes
PRIOR_S = 5.0  # seconds of average blinking that count beside the clip's: a clip without a blink is short
_BEYOND = 0.25  # share of the clip's range by which generated poses may leave it
_LEAST_RANGE = np.array([0.06, 0.06, 0.04, 0.06, 0.06, 0.03], np.float32)  # of poses, whatever the clip shows
_OPEN_EYES = 0.4
_STEPS = 255  # of lid closure that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What the clip shows of the person.

    `pose` float32 [T, 6] are smoothed head poses relative to rest, `closure` float32 [T] of the lids, both at 25 fps;
    `blink` float32 [P]: the closure of a blink from its beginning on, `blinks_per_minute` how many there are; `gaze`
    float32 [2]: standard deviation of where the eyes look, radians; `rest`: the landmarks of the
    head at rest, whose pose in the clip is `rest_pose`.
    """

    pose: np.ndarray
    closure: np.ndarray
    blink: np.ndarray
    blinks_per_minute: float
    gaze: np.ndarray
    rest: RestingHead
    rest_pose: Pose

    @property
    def blink_rate(self) -> float:
        """Over the average speaker's."""
        return self.blinks_per_minute / BLINKS_PER_MINUTE

    def closure_at(self, frames: np.ndarray) -> np.ndarray:
        """The clip's lids in frames [N], forwards and backwards: float32 [N, 1]."""
        return self.closure[ping_pong(frames, len(self.closure))][:, None]

    def pose_at(self, frames: np.ndarray) -> np.ndarray:
        """The clip's head in frames [N], forwards and backwards: float32 [N, 6]."""
        return self.pose[ping_pong(frames, len(self.pose))]

    def within_reach(self, pose: np.ndarray) -> np.ndarray:
        """Poses [T, 6] that do not leave the clip's range by more than a quarter of it: beyond, nobody knows how the
        person looks."""
        low, high = np.percentile(self.pose, (1, 99), axis=0)
        low, high = np.minimum(low, -_LEAST_RANGE), np.maximum(high, _LEAST_RANGE)
        room = _BEYOND * (high - low)
        beyond = np.maximum(pose - high, 0) - np.maximum(low - pose, 0)
        return (np.clip(pose, low, high) + room * np.tanh(beyond / room)).astype(np.float32)


def manner_of(clip: PersonClip, learned: np.ndarray) -> Manner:
    """The manner of the person in the frames `learned` bool [T] of a prepared clip, which show the face. The head rests
    in their mean pose."""
    head, landmarks = clip.head(learned), clip.track.landmarks[learned]
    rows, closure = head.rows[learned], eye_closure(landmarks)[:, 0]
    blinks, seconds = find_blinks(closure, FPS), len(rows) / FPS
    nearest = int(np.flatnonzero(learned)[np.abs(rows).sum(axis=1).argmin()])
    neutral = frame_pose(head, nearest).undo(clip.track.landmarks[nearest])
    return Manner(
        pose=smoothed(rows[:MOST_ROWS]),
        closure=lids_of(clip, learned)[learned][:MOST_ROWS],
        blink=blink_profile([closure]).astype(np.float32),
        blinks_per_minute=60 * (len(blinks.times_s) + BLINKS_PER_MINUTE * PRIOR_S / 60) / (seconds + PRIOR_S),
        gaze=_gaze_spread(landmarks, closure < _OPEN_EYES),
        rest=RestingHead(points=head.rest.apply(neutral).astype(np.float32), size=clip.size),
        rest_pose=head.rest,
    )


def _gaze_spread(landmarks: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Standard deviation of where eyes look, float32 [2]; outliers of the tracker do not count."""
    rows = gaze_rows(landmarks, np.zeros((len(landmarks), 2)))[usable]
    if len(rows) < FPS:
        return np.array([0.05, 0.03], np.float32)
    quarter = np.percentile(rows, (25, 75), axis=0)
    return ((quarter[1] - quarter[0]) / 1.349).astype(np.float32)


def smoothed(rows: np.ndarray) -> np.ndarray:
    """Pose rows [T, 6] as means over seven frames, float32; fewer at the ends. Turns are small enough for means of
    their vectors to be those of the rotations."""
    half = SMOOTHING_FRAMES // 2
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0, dtype=np.float64)])
    last = np.minimum(np.arange(len(rows)) + half + 1, len(rows))
    first = np.maximum(np.arange(len(rows)) - half, 0)
    return ((total[last] - total[first]) / (last - first)[:, None]).astype(np.float32)


def manner_tensors(manner: Manner) -> dict[str, np.ndarray]:
    """What an avatar keeps of it."""
    return {
        "clip.pose": manner.pose.astype(np.float16),
        "clip.closure": np.round(_STEPS * manner.closure).astype(np.uint8),
        "clip.blink": manner.blink.astype(np.float16),
        "clip.blinks_per_minute": np.array(manner.blinks_per_minute, np.float32),
        "clip.gaze": manner.gaze.astype(np.float32),
        "clip.rest": manner.rest.points.astype(np.float32),
        "clip.rest_pose": _pose_numbers(manner.rest_pose),
    }


def manner_from_tensors(tensors: Mapping[str, np.ndarray], size: tuple[int, int]) -> Manner:
    """That of an avatar whose clip has a `size` (width, height). Raises KeyError or ValueError for other tensors."""
    pose, closure = tensors["clip.pose"].astype(np.float32), tensors["clip.closure"].astype(np.float32) / _STEPS
    points = tensors["clip.rest"].astype(np.float32)
    if pose.ndim != 2 or pose.shape[1] != 6 or not len(pose) or closure.shape != pose.shape[:1]:
        raise ValueError(f"head poses {pose.shape} and lids {closure.shape} do not fit each other")
    if points.shape != (478, 3):
        raise ValueError(f"the head at rest has the shape {points.shape}")
    return Manner(
        pose=pose,
        closure=closure,
        blink=tensors["clip.blink"].astype(np.float32),
        blinks_per_minute=float(tensors["clip.blinks_per_minute"].item()),
        gaze=tensors["clip.gaze"].astype(np.float32),
        rest=RestingHead(points=points, size=size),
        rest_pose=_pose_of(tensors["clip.rest_pose"]),
    )


def _pose_numbers(pose: Pose) -> np.ndarray:
    return np.concatenate([pose.rotation.ravel(), pose.translation, [pose.scale]])


def _pose_of(numbers: np.ndarray) -> Pose:
    if numbers.shape != (13,):
        raise ValueError(f"the pose at rest has the shape {numbers.shape}")
    return Pose(rotation=numbers[:9].reshape(3, 3), translation=numbers[9:12], scale=float(numbers[12]))
