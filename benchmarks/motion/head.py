"""Generated head motion against that of real speakers: `bench --what head`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.motion.speaking import LONGEST_PX, RATE_HZ, open_speaker, wanted_clips
from benchmarks.targets import Finding, Row, TargetJob
from talkingface.audio.read import read_audio
from talkingface.clips.tracked import track_clip
from talkingface.core.motion import concatenate
from talkingface.core.progress import report_progress
from talkingface.core.types import Controls
from talkingface.metrics.pose import CHANNELS, PoseRange, angle_speeds, pose_angles, pose_range, share_inside
from talkingface.training.speaking_clips import FPS, describe_clip

SEEDS = 10
RANGE_FRAMES = 50
"""Shorter clips say little about how far a head turns."""


def head(job: TargetJob) -> Finding:
    """Generated pose of 60 s against the 5 to 95 % range of the train clips, for ten seeds.

    The range of each figure is that of the clips: how far (standard deviation) and how fast heads turn in each.
    The share of single frames inside the range of all frames is given beside it.
    """
    speaker = open_speaker(job)
    entries = wanted_clips(job, lambda entry: entry.split == "train" and "arabic" not in entry.slug)
    poses = []
    for number, entry in enumerate(entries):
        report_progress("clips", number, len(entries))
        track = track_clip(entry.path, longest_px=LONGEST_PX).track
        clip = describe_clip(entry.slug, entry.identity, track, np.zeros(0, np.float32), speaker.model)
        if len(clip) >= RANGE_FRAMES and clip.weight.all():
            poses.append(clip.pose)
    allowed = pose_range(poses, FPS)
    voice = _minute_of_speech(job)
    generated = []
    for seed in range(SEEDS):
        pose = concatenate(speaker.speak([voice], Controls(seed=seed))).pose
        assert pose is not None
        generated.append(pose)
    return Finding(rows=[*_head_rows(poses, generated, allowed)], details={"allowed": _as_json(allowed)})


def _head_rows(poses: Sequence[np.ndarray], generated: Sequence[np.ndarray], allowed: PoseRange) -> Iterator[Row]:
    real, made = np.array([_spreads(pose) for pose in poses]), np.array([_spreads(pose) for pose in generated])
    inside = np.mean([share_inside(pose, FPS, allowed) for pose in generated], axis=0)
    names = [*(f"{name}, deg" for name in CHANNELS), *(f"{name} speed, deg/s" for name in CHANNELS)]
    for k, name in enumerate(names):
        low, high = np.percentile(real[:, k], [5, 95])
        met = bool(((made[:, k] >= low) & (made[:, k] <= high)).all())
        yield Row(
            name=f"deviation of {name}", value=float(made[:, k].mean()), target=f"{low:.2f} to {high:.2f}", met=met
        )
        yield Row(name=f"share of frames inside the clips' range of {name}", value=float(inside[k]))


def _spreads(pose: np.ndarray) -> np.ndarray:
    angles = pose_angles(pose)
    return np.concatenate([angles.std(axis=0), angle_speeds(angles, FPS).std(axis=0)])


def _as_json(allowed: PoseRange) -> dict[str, Any]:
    return {"angle_deg": allowed.angle.round(2).tolist(), "speed_deg_s": allowed.speed.round(2).tolist()}


def _minute_of_speech(job: TargetJob) -> np.ndarray:
    files = sorted((job.folder / "speech").glob("libri_*"))
    voices = [read_audio(path, RATE_HZ).samples[0] for path in files[:8]]
    return np.resize(np.concatenate(voices), 60 * RATE_HZ)
