"""Codes of a face in a video, a photo, or an avatar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkingface.core.motion import ping_pong
from talkingface.core.progress import tell
from talkingface.core.types import Avatar, Motion, Track
from talkingface.systems.pcavs.codes import Codes, Talker

FPS = 25.0
LONGEST_PX = 1280
STEADY_FRAMES = 0.8
"""Smoothing of pose codes over time, standard deviation: what is faster is the tracker, not the head."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A face that was read: where it came from, its `track` at 25 fps (not smoothed), its `codes`, and sentences for
    the user."""

    path: Path
    track: Track
    codes: Codes
    notes: list[str]


def read_driver(path: Path, talker: Talker, face_index: int | None) -> Driver:
    """Track the face of a video (cached) or photo and read its codes. Raises InputError, FaceError."""
    from talkingface.face.track import smooth_track, track_image
    from talkingface.face.track_cache import cached_track
    from talkingface.video.image import is_image, read_image

    if is_image(path):
        rgb = read_image(path).opaque()
        face = track_image(rgb, face_index)
        size = rgb.shape[1], rgb.shape[0]
        track = Track(landmarks=face.landmarks[None], times_s=np.zeros(1), confidence=np.ones(1, np.float32), size=size)
        return Driver(path, track, talker.read(track, iter([rgb])), [])
    lost: list[str] = []
    track = cached_track(path, _frames(path, "tracking the face"), f"{FPS:.3f}fps-{LONGEST_PX}px", face_index)
    # what is lost is told by this pass, which a cached track does not save
    pictures = (rgb for rgb, _ in _frames(path, "reading the face", lost))
    codes = talker.read(smooth_track(track), pictures)
    pose = gaussian_filter1d(codes.pose, STEADY_FRAMES, axis=0, mode="nearest")
    gaps = int((track.confidence == 0).sum())
    if gaps:
        lost.append(f"the face was not seen in {gaps} of {len(track)} frames; they were bridged")
    return Driver(path, track, Codes(codes.mouth, pose.astype(np.float32)), lost)


def _frames(path: Path, what: str, lost: list[str] | None = None) -> Iterator[tuple[np.ndarray, float]]:
    from talkingface.video.read import probe, read_frames

    total = max(1, round(float(probe(path).duration_s or 0) * FPS))
    for number, frame in enumerate(read_frames(path, fps=FPS, longest_px=LONGEST_PX, lost=lost), 1):
        yield frame.rgb, frame.time_s
        tell(what, number, max(total, number))


def rest_of(avatar: Avatar, talker: Talker) -> np.ndarray:
    """The pose code float32 [P] of an avatar's picture."""
    landmarks = avatar.tensors["landmarks"]
    rgb = avatar.tensors["rgb"]
    track = Track(
        landmarks=landmarks[None], times_s=np.zeros(1), confidence=np.ones(1, np.float32),
        size=(rgb.shape[1], rgb.shape[0]),
    )  # fmt: skip
    return talker.read(track, iter([rgb])).pose[0]


def posed_like(motions: Iterable[Motion], pose: np.ndarray) -> Iterator[Motion]:
    """Motion at any rate with the head of a clip, pose rows [T, P] at 25 fps: past its end backwards, then forwards."""
    for piece in motions:
        at = (piece.start + np.arange(len(piece))) * (FPS / piece.fps)
        before = at.astype(np.int64)
        share = (at - before)[:, None].astype(np.float32)
        rows = pose[ping_pong(before, len(pose))] * (1 - share) + pose[ping_pong(before + 1, len(pose))] * share
        yield replace(piece, pose=rows.astype(np.float32))
