"""Generated head motion against that of real speakers: `bench --what head`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.motion.said import Moves, moves_of, said_rows
from benchmarks.motion.speaking import LONGEST_PX, RATE_HZ, Speaker, open_speaker, sound_of, wanted_clips
from benchmarks.targets import Finding, Row, TargetJob
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import ClipEntry
from talkingface.clips.tracked import track_clip
from talkingface.core.motion import concatenate
from talkingface.core.progress import report_progress
from talkingface.core.types import Controls
from talkingface.metrics.pose import CHANNELS, PoseRange, angle_speeds, pose_angles, pose_range, share_inside
from talkingface.training.gesture_fit import blink_starts, heard_events
from talkingface.training.speaking_clips import FPS, SpeakingClip, describe_clip

SEEDS = 10
RANGE_FRAMES = 50
"""Shorter clips say little about how far a head turns."""
SAID_SEEDS = 3
BLINKS = (10, 30)
"""A minute."""


def head(job: TargetJob) -> Finding:
    """Generated pose of 60 s against the 5 to 95 % range of the train clips, for ten seeds.

    The range of each figure is that of the clips: how far (standard deviation) and how fast heads turn in each.
    The share of single frames inside the range of all frames is given beside it. Then, whether head, brows and eyes go
    with what is said (`said`), over all clips.
    """
    speaker = open_speaker(job)
    entries = wanted_clips(job, lambda entry: "arabic" not in entry.slug)
    clips = list(_clips(entries, speaker))
    trained = {entry.slug for entry in entries if entry.split == "train"}
    poses = [clip.pose for clip in clips if clip.slug in trained]
    allowed = pose_range(poses, FPS)
    voice = _minute_of_speech(job)
    generated, blinks = [], []
    for seed in range(SEEDS):
        motion = concatenate(speaker.speak([voice], Controls(seed=seed)))
        assert motion.pose is not None and motion.blink is not None
        generated.append(motion.pose)
        blinks.append(float(blink_starts(motion.blink[:, 0]).sum()))
    rows = [*_head_rows(poses, generated, allowed), *_blink_rows(blinks), *_said(speaker, clips)]
    return Finding(rows=rows, details={"allowed": _as_json(allowed), "clips": len(clips)})


def _clips(entries: Sequence[ClipEntry], speaker: Speaker) -> Iterator[SpeakingClip]:
    """Those long enough, all of which is seen."""
    for number, entry in enumerate(entries):
        report_progress("clips", number, len(entries))
        track = track_clip(entry.path, longest_px=LONGEST_PX).track
        samples = sound_of(entry)
        heard = np.zeros(0, np.float32) if samples is None else samples
        clip = describe_clip(entry.slug, entry.identity, track, heard, speaker.model)
        if len(clip) >= RANGE_FRAMES and clip.weight.all():
            yield clip


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


def _blink_rows(blinks: Sequence[float]) -> Iterator[Row]:
    low, high = BLINKS
    yield Row(
        name="blinks a minute",
        value=float(np.mean(blinks)),
        target=f"{low} to {high} for every seed",
        met=all(low <= rate <= high for rate in blinks),
    )


def _said(speaker: Speaker, clips: Sequence[SpeakingClip]) -> Iterator[Row]:
    heard = [heard_events(clip.samples, len(clip)) if len(clip.samples) else np.zeros((len(clip), 1)) for clip in clips]
    speaking = [(clip, events) for clip, events in zip(clips, heard, strict=True) if events.any()]
    real = [_moves(speaker, clip.pose, clip.expression, clip.blink, clip.gaze) for clip, _ in speaking]
    generated = []
    for seed in range(SAID_SEEDS):
        # one seed gives all clips the same chance movements at the same frames
        seeds = range(seed * len(speaking), (seed + 1) * len(speaking))
        motions = [
            concatenate(speaker.speak([clip.samples], Controls(seed=own)))
            for own, (clip, _) in zip(seeds, speaking, strict=True)
        ]
        generated.append([_moves(speaker, m.pose, m.expression, m.blink, m.gaze) for m in motions])
    return said_rows(real, generated, [events for _, events in speaking])


def _moves(
    speaker: Speaker, pose: np.ndarray | None, expression: np.ndarray, blink: np.ndarray | None, gaze: np.ndarray | None
) -> Moves:
    assert pose is not None and blink is not None
    brows = expression.copy()
    brows[:, : speaker.model.num_mouth] = 0
    still = np.zeros((len(pose), 2)) if gaze is None else gaze
    return moves_of(pose, speaker.model.displacement(brows), blink, still)


def _spreads(pose: np.ndarray) -> np.ndarray:
    angles = pose_angles(pose)
    return np.concatenate([angles.std(axis=0), angle_speeds(angles, FPS).std(axis=0)])


def _as_json(allowed: PoseRange) -> dict[str, Any]:
    return {"angle_deg": allowed.angle.round(2).tolist(), "speed_deg_s": allowed.speed.round(2).tolist()}


def _minute_of_speech(job: TargetJob) -> np.ndarray:
    files = sorted((job.folder / "speech").glob("libri_*"))
    voices = [read_audio(path, RATE_HZ).samples[0] for path in files[:8]]
    return np.resize(np.concatenate(voices), 60 * RATE_HZ)
