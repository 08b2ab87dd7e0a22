"""Codes of a face: mouth and head pose, from a clip, a photo or an avatar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from talkingface.core.types import Avatar, Clip, Photo, Track
from talkingface.systems.pcavs.data.timing import FPS

if TYPE_CHECKING:
    from talkingface.clips.tracked import TrackedClip
    from talkingface.systems.pcavs.official.inference import OfficialVariant

LONGEST_PX = 1280
"""Clips are tracked and encoded at this size at most."""
STEADY_FRAMES = 0.8
"""Smoothing of pose codes over time, standard deviation: faster changes are noise of the tracker."""


class Codes(NamedTuple):
    """`mouth` float32 [T, M] and `pose` float32 [T, P]."""

    mouth: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True, slots=True)
class EncodedClip:
    """The `codes` of a clip, `tracked` at 25 fps (not smoothed; None for a photo)."""

    tracked: TrackedClip | None
    codes: Codes


def encode_clip(source: Photo | Clip, variant: OfficialVariant, face_index: int | None) -> EncodedClip:
    """Track the face of a clip (cached) or photo and encode it. Raises InputError, FaceError."""
    from talkingface.clips.tracked import track_clip
    from talkingface.face.track import bridge, smooth_spans, smooth_track, track_image

    if isinstance(source, Photo):
        face = track_image(source.opaque(), face_index, turned=True)
        return EncodedClip(None, _encode_photo(face.rgb, face.landmarks, variant))
    tracked = track_clip(source, fps=FPS, longest_px=LONGEST_PX, face_index=face_index, upright=True)
    codes = variant.encode_video(smooth_track(tracked.track), tracked.frames("reading the face"))
    # pictures without the face were encoded, too
    mouth, pose = (bridge(rows, tracked.track.present) for rows in codes)
    # mouths are not smoothed: a lip moves faster than a head
    return EncodedClip(tracked, Codes(mouth, smooth_spans(pose, tracked.track.spans, STEADY_FRAMES)))


def rest_pose(avatar: Avatar, variant: OfficialVariant) -> np.ndarray:
    """The pose code float32 [P] of an avatar's picture."""
    return _encode_photo(avatar.tensors["rgb"], avatar.tensors["landmarks"], variant).pose[0]


def _encode_photo(rgb: np.ndarray, landmarks: np.ndarray, variant: OfficialVariant) -> Codes:
    return variant.encode_video(Track.still(landmarks, (rgb.shape[1], rgb.shape[0])), iter([rgb]))
