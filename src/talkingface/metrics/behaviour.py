"""What a face does over time: blinks, head motion and its beats, jitter, silence and speech, closures, leakage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkingface.audio.phones import PhoneSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinks:
    """Blinks of a clip: times of their peaks [N] in s, lengths [N] in s, how many a minute, share of time shut."""

    times_s: np.ndarray
    lengths_s: np.ndarray
    per_minute: float
    closed_share: float


def find_blinks(closure: np.ndarray, fps: float) -> Blinks:
    """Blinks in eye closure [T] (0 open, 1 closed; `face.blink.eye_closure`)."""
    raise NotImplementedError


def blink_distance(generated: np.ndarray, reference: np.ndarray) -> float:
    """Wasserstein distance of the distributions of eye closure [T] and [T'], in [0, 1]."""
    raise NotImplementedError


def pose_error(generated: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """Geodesic angle between head rotations [T, 3, 3], degrees: (mean, per frame [T])."""
    raise NotImplementedError


def pose_distance(generated: np.ndarray, reference: np.ndarray, fps: float) -> tuple[float, float]:
    """Wasserstein distances between head motions of rotations [T, 3, 3] and [T', 3, 3]: (degrees, degrees per second)."""
    raise NotImplementedError


def jitter(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Trembling of points that speech does not move after rigid motion is removed; inter-ocular distances."""
    raise NotImplementedError


def frame_change(previous: np.ndarray, current: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures of one shape, grey levels."""
    raise NotImplementedError


def still_share(changes: np.ndarray) -> float:
    """Share of `frame_change` values [T - 1] too small to be seen."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Where pixels go: `forward` float32 [H, W, 2] from the first picture to the second; `seen` bool [H, W] in both."""

    forward: np.ndarray
    seen: np.ndarray


def flow_between(first: np.ndarray, second: np.ndarray) -> Flow:
    """DIS optical flow of two uint8 RGB pictures [H, W, 3], with pixels masked that are not seen in both."""
    raise NotImplementedError


def warp_error(first: np.ndarray, second: np.ndarray, flow: Flow | None = None) -> float:
    """Temporal warp error of two consecutive uint8 pictures, along `flow` (the reference's) or their own."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatAlignment:
    """Beat alignment in [0, 1], what random beats would reach, and how many head beats were found."""

    score: float
    chance: float
    num_beats: int


def beat_alignment(rotations: np.ndarray, samples: np.ndarray, fps: float) -> BeatAlignment:
    """How closely beats of the head, rotations [T, 3, 3] at `fps`, follow onsets of sound, float32 [N] at 16 kHz."""
    raise NotImplementedError


def speech_frames(samples: np.ndarray, fps: float, num_frames: int) -> np.ndarray:
    """Frames in which there is speech, bool [num_frames], from mono float32 [N] at 16 kHz."""
    raise NotImplementedError


def silent_open_share(gap: np.ndarray, speech: np.ndarray) -> float:
    """Share of frames without speech (bool [T]) whose lip gap [T] is open; nan without silence."""
    raise NotImplementedError


def mouth_motion(gap: np.ndarray, speech: np.ndarray, fps: float) -> float:
    """Mean speed of the lip gap [T] during speech (bool [T]), inter-ocular distances per second; nan without speech."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureContrast:
    """Lip gaps at /p b m/ against those at open vowels, inter-ocular distances; nan where a kind does not occur."""

    closed_share: float
    bilabial_gap: float
    vowel_gap: float
    contrast: float
    num_bilabials: int
    num_vowels: int


def closure_contrast(gap: np.ndarray, fps: float, spans: list[PhoneSpan]) -> ClosureContrast:
    """Does the mouth (gap [T] from time 0) close where it must and open where it should?"""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """Correlation with a signal that was not given, what chance reaches, and the excess over it (0 or more)."""

    correlation: float
    chance: float
    excess: float


def leakage(gap: np.ndarray, hidden: np.ndarray, fps: float) -> Leakage:
    """How much a generated lip gap [T] knows of a signal [T] it was not given (true gap, or original speech's loudness)."""
    raise NotImplementedError
