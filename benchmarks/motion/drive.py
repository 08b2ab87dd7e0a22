"""Unseen clips that drive their own first frame: how near the result comes to the clip, for each origin of the pose."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import inside
from benchmarks.targets import Finding, Row, TargetJob, at_least
from talkingface import api
from talkingface.clips.manifest import list_clips
from talkingface.clips.tracked import TrackedClip, track_clip
from talkingface.core.progress import report_progress
from talkingface.core.registry import DEFAULT_SYSTEM, get_spec
from talkingface.core.system import System
from talkingface.core.types import Controls, Photo
from talkingface.metrics.picture import psnr
from talkingface.video.image import write_image
from talkingface.video.resize import shrink

CLIP_S, LEAST_S = 5.0, 2.0
SCORED = 1.3  # the square that is compared, over the face's own
GAIN_DB = {"first": 2.0, "none": 2.0}
_INSTANTS, _HEIGHT = 8, 220  # of a contact sheet


def drive(job: TargetJob) -> Finding:
    """The first val clip of each person: gain over the still first frame, in dB of PSNR over the face.

    `job.weights` names the weights, and with them the system ("pcavs.compact").
    """
    name = (job.weights or DEFAULT_SYSTEM).partition(".")[0]
    system = api.load(name, weights=job.weights)
    clips = {clip.identity: clip for clip in reversed(list_clips(job.folder)) if clip.split == "val"}
    scores: list[dict[str, Any]] = []
    for number, clip in enumerate(sorted(clips.values(), key=lambda clip: clip.slug)[: job.limit]):
        report_progress("clips", number, len(clips))
        tracked = track_clip(clip.path, fps=system.SPEC.fps, longest_px=1280, stage=None)
        if clip.slug != "driver_two_faces" and len(tracked.track) >= LEAST_S * system.SPEC.fps:
            scores.append({"clip": clip.slug, **_score(system, tracked, clip.slug, job.sheets)})
    rows = [Row(name="mean PSNR of the still first frame, dB", value=float(np.mean([s["still"] for s in scores])))]
    for origin in get_spec(name).pose_origins:
        gain = float(np.mean([score[origin] - score["still"] for score in scores]))
        label = f"gain with --pose-origin {origin}, dB"
        rows.append(at_least(label, gain, GAIN_DB[origin]) if origin in GAIN_DB else Row(name=label, value=gain))
    return Finding(rows=rows, details={"clips": scores})


def _score(system: System, tracked: TrackedClip, slug: str, sheets: Path | None) -> dict[str, float]:
    """Mean PSNR over the frames that show the face: of the first frame, and of each origin's result."""
    track = tracked.track
    real = list(islice(tracked.frames(), int(CLIP_S * system.SPEC.fps)))
    seen = np.flatnonzero(track.confidence[: len(real)] > 0)
    avatar = system.fit(Photo(rgb=real[int(seen[0])]), size="native")
    made = {"still": [real[int(seen[0])]] * len(real)}
    for origin in system.SPEC.pose_origins:
        controls = Controls(pose="still", pose_origin=origin, size="native")
        drawn = system.render(avatar, system.motion_from_video(avatar, tracked.clip, controls), controls)
        made[origin] = list(islice((rgb for piece in drawn for rgb in piece.rgb), len(real)))
    boxes = {int(k): _scored_box(track.landmarks[k], real[k].shape) for k in seen[1:]}
    if sheets is not None:
        at = seen[np.linspace(1, len(seen) - 1, _INSTANTS).astype(int)]
        bands = [np.concatenate([_thumb(rows[k]) for k in at], axis=1) for rows in (real, *made.values())]
        sheets.mkdir(parents=True, exist_ok=True)
        write_image(sheets / f"drive-{slug}.png", np.concatenate(bands))
    return {
        name: float(np.mean([min(psnr(rows[k][box], real[k][box]), 99.0) for k, box in boxes.items()]))
        for name, rows in made.items()
    }


def _scored_box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    reach = SCORED * float((high - low).max()) / 2
    return inside((low + high) / 2 - reach, (low + high) / 2 + reach, shape)


def _thumb(rgb: np.ndarray) -> np.ndarray:
    return shrink(rgb, (round(rgb.shape[1] * _HEIGHT / rgb.shape[0]), _HEIGHT))
