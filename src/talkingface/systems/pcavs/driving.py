"""Codes of a face in a video, a photo, or an avatar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkingface.core.motion import ping_pong
from talkingface.core.types import Avatar, Clip, Motion, Photo, Track
from talkingface.systems.pcavs.codes import Codes, Talker

if TYPE_CHECKING:
    from talkingface.clips.tracked import TrackedClip

FPS = 25.0
LONGEST_PX = 1280
STEADY_FRAMES = 0.8
"""Smoothing of pose codes over time, standard deviation: what is faster is the tracker, not the head."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A face that was read: its clip, `tracked` at 25 fps (not smoothed; None for a photo), and its `codes`."""

    tracked: TrackedClip | None
    codes: Codes


def read_driver(source: Photo | Clip, talker: Talker, face_index: int | None) -> Driver:
    """Track the face of a video (cached) or photo and read its codes. Raises InputError, FaceError."""
    from talkingface.clips.tracked import track_clip
    from talkingface.face.track import smooth_track, track_image

    if isinstance(source, Photo):
        rgb = source.opaque()
        track = Track.still(track_image(rgb, face_index).landmarks, (rgb.shape[1], rgb.shape[0]))
        return Driver(None, talker.read(track, iter([rgb])))
    tracked = track_clip(source, fps=FPS, longest_px=LONGEST_PX, face_index=face_index)
    codes = talker.read(smooth_track(tracked.track), tracked.frames("reading the face"))
    pose = gaussian_filter1d(codes.pose, STEADY_FRAMES, axis=0, mode="nearest")
    return Driver(tracked, Codes(codes.mouth, pose.astype(np.float32)))


def rest_of(avatar: Avatar, talker: Talker) -> np.ndarray:
    """The pose code float32 [P] of an avatar's picture."""
    rgb = avatar.tensors["rgb"]
    track = Track.still(avatar.tensors["landmarks"], (rgb.shape[1], rgb.shape[0]))
    return talker.read(track, iter([rgb])).pose[0]


def posed_like(motions: Iterable[Motion], pose: np.ndarray) -> Iterator[Motion]:
    """Motion at any rate with the head of a clip, pose rows [T, P] at 25 fps: past its end backwards, then forwards."""
    for piece in motions:
        at = (piece.start + np.arange(len(piece))) * (FPS / piece.fps)
        before = at.astype(np.int64)
        share = (at - before)[:, None].astype(np.float32)
        rows = pose[ping_pong(before, len(pose))] * (1 - share) + pose[ping_pong(before + 1, len(pose))] * share
        yield replace(piece, pose=rows.astype(np.float32))
