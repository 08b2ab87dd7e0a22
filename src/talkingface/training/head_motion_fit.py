"""What `head_motion` needs, learned from tracked clips in closed form: spectra, response to loudness, blink profile.

Gestures around what is said: `gesture_fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkingface.audio.mel import LevelTracker, speech_columns
from talkingface.core.errors import InputError
from talkingface.face.eye_motion import FPS
from talkingface.face.head_motion import NUM_POSE
from talkingface.face.morphable import LinearFaceModel
from talkingface.training.gesture_fit import is_phrase, learn_gestures
from talkingface.training.speaking_clips import SpeakingClip, speaking_clips

REACH = 60
"""Frames of noise on either side that form a row of the process."""
SHORTEST_CLIP = 100
SMOOTHING_FRAMES = 1.3
"""Takes the tracker's own jitter out of the spectra."""
RESPONSE_FRAMES = 15
TYPICAL_DEG = np.array([1.7, 1.9, 1.2])
"""Standard deviations of pitch, yaw and roll that every clip is scaled to on average: lively, never restless."""
LIMIT_DEG = np.array([4.3, 4.9, 3.5])
"""Never exceeded; pitch and yaw lie inside the clips' 5 to 95 % range."""
BROW_LIMIT = 1.6
BROW_SCALE = 0.5


def train_head_motion(prepared: Path, model: LinearFaceModel, *, free_only: bool) -> dict[str, np.ndarray]:
    """Learn head motion from the prepared train clips; tensors named `head_motion.*`."""
    clips = list(speaking_clips(prepared, model, split="train", free_only=free_only))
    return {f"head_motion.{name}": value for name, value in learn_head_motion(clips, model.num_mouth).items()}


def learn_head_motion(clips: Sequence[SpeakingClip], num_mouth: int) -> dict[str, np.ndarray]:
    """Tensors for `HeadMotion` from training clips; the short ones are used for blinks and gestures only."""
    rows = [
        (smoothed_channels(clip, num_mouth), clip)
        for clip in clips
        if len(clip) >= SHORTEST_CLIP and clip.weight.min() > 0
    ]
    if not rows:
        raise InputError(
            f"head motion needs clips of at least {SHORTEST_CLIP / FPS:g} s of which nothing is held back; "
            "the data folder has none to train on"
        )
    short = [(smoothed_channels(clip, num_mouth), clip) for clip in clips if is_phrase(clip)]
    scale = _common_scale([values for values, _ in rows])
    limit = np.concatenate([np.radians(LIMIT_DEG), [0.12, 0.09, 0.03], np.full(len(scale) - NUM_POSE, BROW_LIMIT)])
    return {
        "kernel": (noise_kernel([values for values, _ in rows]) * scale[:, None]).astype(np.float32),
        "response": (_response(rows) * scale).astype(np.float32),
        "limit": limit.astype(np.float32),
        "blink": blink_profile([clip.blink[:, 0] for clip in clips]).astype(np.float32),
        **learn_gestures(short or rows, scale),
    }


def smoothed_channels(clip: SpeakingClip, num_mouth: int) -> np.ndarray:
    """Pose and brows [T, 6 + B] about their mean, smoothed, and divided by how much this person moves."""
    rows = np.concatenate([clip.pose, clip.expression[:, num_mouth:]], axis=1).astype(np.float64)
    rows = gaussian_filter1d(rows - rows.mean(axis=0), SMOOTHING_FRAMES, axis=0, mode="nearest")
    rows = rows - rows.mean(axis=0)
    liveliness = np.ones(rows.shape[1])
    liveliness[:NUM_POSE] = np.degrees(rows[:, :3].std(axis=0)).mean()
    liveliness[NUM_POSE:] = rows[:, NUM_POSE:].std(axis=0).mean() + 1e-3
    return rows / liveliness


def _common_scale(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Factor per channel back to typical movement."""
    power = [(rows**2).mean(axis=0) for rows in clips]
    spread = np.sqrt(np.average(power, axis=0, weights=[len(rows) ** 0.5 for rows in clips]))
    typical = np.concatenate([np.radians(TYPICAL_DEG), np.full(len(spread) - 3, np.nan)])
    # translation keeps its proportion to rotation, brows their own amplitude
    typical[3:NUM_POSE] = spread[3:NUM_POSE] * np.mean(typical[:3] / spread[:3])
    typical[NUM_POSE:] = BROW_SCALE * spread[NUM_POSE:] / spread[NUM_POSE:].mean()
    return typical / spread


def noise_kernel(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Filter [2 REACH + 1, D, D] that gives white noise the clips' mean autocovariance."""
    channels = clips[0].shape[1]
    total, weight = np.zeros((REACH + 1, channels, channels)), np.zeros(REACH + 1)
    for rows in clips:
        share = len(rows) ** -0.5  # long clips count more, but not in proportion
        for lag in range(REACH + 1):
            total[lag] += share * rows[lag:].T @ rows[: len(rows) - lag]
            weight[lag] += share * (len(rows) - lag)
    covariance = total / weight[:, None, None] * np.cos(np.linspace(0, np.pi / 2, REACH + 1))[:, None, None] ** 2
    both = np.concatenate([covariance, covariance[:0:-1].transpose(0, 2, 1)])  # lags 0 .. REACH, -REACH .. -1
    spectrum = np.fft.fft(both, axis=0)
    values, vectors = np.linalg.eigh((spectrum + spectrum.conj().transpose(0, 2, 1)) / 2)
    root = (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ vectors.conj().transpose(0, 2, 1)
    return np.fft.fftshift(np.fft.ifft(root, axis=0).real, axes=0)[::-1]


def _response(rows: Sequence[tuple[np.ndarray, SpeakingClip]]) -> np.ndarray:
    """Least-squares response [RESPONSE_FRAMES, D] of the faster part of the movement to loudness."""
    gram, product = np.zeros((RESPONSE_FRAMES, RESPONSE_FRAMES)), np.zeros((RESPONSE_FRAMES, rows[0][0].shape[1]))
    for values, clip in rows:
        columns = speech_columns(clip.samples)
        loud = (columns.mean(axis=1) - LevelTracker().push(columns)) / 20 + 1
        loud = np.clip(loud[: len(loud) // 4 * 4].reshape(-1, 4).mean(axis=1), -1, 1)[: len(values)]
        loud = loud - gaussian_filter1d(loud, FPS)
        fast = (values - gaussian_filter1d(values, FPS, axis=0))[: len(loud)]
        earlier = [np.concatenate([np.zeros(lag), loud[: len(loud) - lag]]) for lag in range(RESPONSE_FRAMES)]
        past = np.stack(earlier, axis=1)
        gram += past.T @ past / len(values) ** 0.5
        product += past.T @ fast / len(values) ** 0.5
    smooth = np.diff(np.eye(RESPONSE_FRAMES), axis=0)
    ridge = gram.trace() / RESPONSE_FRAMES * (0.1 * np.eye(RESPONSE_FRAMES) + 3.0 * smooth.T @ smooth)
    return np.linalg.solve(gram + ridge, product)


def blink_profile(closures: Sequence[np.ndarray], length: int = 11) -> np.ndarray:
    """Mean closure of clear blinks, aligned at their peak: [length] from 0 over 1 to 0."""
    blinks = []
    for closure in closures:
        rest = np.median(closure)
        for peak in range(4, len(closure) - length):
            part = closure[peak - 4 : peak - 4 + length]
            whole = rest < 0.25 and max(part[0], part[-1]) < rest + 0.2
            if whole and closure[peak] == part.max() and closure[peak] > 0.75:
                blinks.append(np.clip((part - rest) / (closure[peak] - rest), 0, 1))
    if not blinks:
        return np.array([0.0, 0.3, 0.85, 1.0, 0.8, 0.5, 0.25, 0.1, 0.0])
    profile = np.mean(blinks, axis=0)
    floor = max(profile[0], profile[-1])
    return np.clip((profile - floor) / (1 - floor), 0, 1)
