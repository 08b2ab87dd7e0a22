"""Clips dubbed with their own sound: how near new mouths come to the real ones, whether the border of what was changed
shows, and how fast the whole command is."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.data import spread
from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most
from talkingface import api
from talkingface.clips.manifest import ClipEntry, list_clips, manifest_rows
from talkingface.clips.source import open_clip
from talkingface.core.errors import TalkingFaceError
from talkingface.core.motion import cut_motion
from talkingface.core.progress import report_progress
from talkingface.core.system import System
from talkingface.core.types import Controls
from talkingface.metrics.picture import mouth_box, psnr
from talkingface.video.image import write_image
from talkingface.video.read import probe, read_frames

CLIP_S, LEAST_S = 4.0, 1.0
LONGEST_PX = 1280
TODAY_DB = 26.3
"""Mean of the mouth boxes with `portrait.research` (2026-12-01), to be exceeded."""
GAIN_DB, MOST_SEAM, FRAMES_PER_S = 2.0, 1.1, 60.0
CHANGED_LEVELS = 2
"""Of the difference of a channel above which a pixel was changed; less is what sampling costs where nothing moved."""
LEAST_PART = 0.02
"""Share of the mouth box's pixels below which a changed patch is a speck of its own."""
SHORT_S = 25.0
"""Length of the longest clip that the command dubs, unless there is time."""
SKIPPED = ("driver_two_faces", "driver_no_face")
_INSTANTS, _THUMB = 8, (160, 160)


def dub(job: TargetJob) -> Finding:
    """The first val clip of each person, at most four seconds, and the whole command on a clip of 1280 x 720.

    `job.limit` people are spread over the list. The command dubs the longest clip of up to 25 seconds, which nothing
    has tracked before; with `job.long` the longest of all. Processor time tells more
    than frames a second while other jobs run.
    """
    system = api.load("portrait", weights=job.weights)
    clips = val_clips(job.folder, job.limit)
    scores = []
    for number, clip in enumerate(clips):
        report_progress("clips", number, len(clips))
        scores.append({"clip": clip.slug, **score(system, clip, job.sheets)})
    run = whole_command(job)
    return Finding(rows=rows(scores, run), details={"clips": scores, "command": run})


def val_clips(data: Path, limit: int | None) -> list[ClipEntry]:
    """The first val clip with speech of each person."""
    has_sound = {row["slug"] for row in manifest_rows(data, kind="video") if row.get("audio", "yes") == "yes"}
    clips = [clip for clip in list_clips(data) if clip.split == "val" and clip.speaks and clip.slug in has_sound]
    people = {clip.identity: clip for clip in reversed(clips) if clip.slug not in SKIPPED}
    return spread(sorted(people.values(), key=lambda clip: clip.slug), limit)


def rows(scores: list[dict[str, Any]], run: dict[str, Any] | None) -> list[Row]:
    """Means, the worst clips, and the speed."""
    found = [Row(name="clips", value=len(scores))]
    if scores:
        dbs, seams = ({s["clip"]: s[name] for s in scores} for name in ("mouth_db", "seam"))
        low, high = min(dbs, key=dbs.__getitem__), max(seams, key=seams.__getitem__)
        mean_db, seam = float(np.mean([*dbs.values()])), float(np.median([*seams.values()]))
        found += [
            at_least("mouth box against the real frames, dB", mean_db, TODAY_DB + GAIN_DB),
            Row(name=f"the same, worst ({low})", value=dbs[low]),
            at_most("gradient across the border over the real one's, median", seam, MOST_SEAM),
            Row(name=f"the same, worst ({high})", value=seams[high]),
        ]
    if run is not None:
        label = f"{run['seconds']:.0f} s at 720p, process start to file"
        found += [
            at_least(f"frames/s, {label}", run["frames_per_s"], FRAMES_PER_S),
            Row(name="frames a second of processor time", value=run["frames_per_processor_s"]),
        ]
    return found


def score(system: System, clip: ClipEntry, sheets: Path | None = None) -> dict[str, Any]:
    """Mean PSNR of the mouth boxes in dB, and the seam, of one clip."""
    avatar = system.fit(open_clip(clip.path))
    controls = Controls(pose="source")
    fps = system.fps(avatar, controls)
    motion = api.motion(clip.sound, weights=None if system.weights is None else system.weights.card.get("name"))
    motion = cut_motion(motion, 0, min(len(motion), round(CLIP_S * motion.fps)))
    count = min(int(CLIP_S * fps), len(avatar.tensors["clip.landmarks"]))
    drawn = (rgb for piece in system.render(avatar, iter([motion]), controls) for rgb in piece.rgb)
    real = islice(read_frames(clip.path, fps=fps, longest_px=LONGEST_PX), count)
    decibels, across, thumbs = [], [], []
    for number, (made, frame) in enumerate(zip(drawn, real, strict=False)):
        if not avatar.tensors["clip.present"][number]:
            continue
        box = mouth_box(avatar.tensors["clip.landmarks"][number], (made.shape[1], made.shape[0]))
        pair = [box.cut(picture) for picture in (made, frame.rgb)]
        decibels.append(min(psnr(*pair), 99.0))
        across.append(seam_gradients(made, frame.rgb, LEAST_PART * pair[0].size / 3))
        if number % max(count // _INSTANTS, 1) == 0:
            thumbs.append(np.concatenate([cv2.resize(part, _THUMB) for part in reversed(pair)]))
    if sheets is not None and thumbs:
        sheets.mkdir(parents=True, exist_ok=True)
        write_image(sheets / f"dub-{clip.slug}.png", np.concatenate(thumbs, axis=1))
    drawn_total, real_total = np.sum(across, axis=0)
    return {
        "frames": len(decibels),
        "mouth_db": round(float(np.mean(decibels)), 3),
        "seam": round(float(drawn_total / max(real_total, 1e-9)), 4),
    }


def seam_gradients(made: np.ndarray, real: np.ndarray, least_px: float) -> tuple[float, float]:
    """Sums of absolute luma differences across the border of what was changed, drawn and real, uint8 [H, W, 3].

    The border runs around every changed patch of more than `least_px` pixels, its holes filled; each pair of
    neighbours, one inside and one outside, counts once.
    """
    patch = changed_patch(made, real, least_px)
    sums = []
    for picture in (made, real):
        luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        steps = (np.abs(np.diff(luma, axis=axis))[np.diff(patch, axis=axis)].sum() for axis in (0, 1))
        sums.append(float(sum(steps)))
    return sums[0], sums[1]


def changed_patch(made: np.ndarray, real: np.ndarray, least_px: float) -> np.ndarray:
    """Where a picture was changed, without specks and holes: bool [H, W]."""
    changed = (cv2.absdiff(made, real).max(-1) > CHANGED_LEVELS).astype(np.uint8)
    changed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(changed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [outline for outline in outlines if cv2.contourArea(outline) > least_px]
    return cv2.drawContours(np.zeros_like(changed), large, -1, (1,), cv2.FILLED) > 0


def whole_command(job: TargetJob) -> dict[str, Any] | None:
    """Dub a clip of 1280 x 720 with its own sound by the command line; None: the data folder has none."""
    wide = [
        row for row in manifest_rows(job.folder, kind="video")
        if (row.get("width"), row.get("height"), row.get("audio")) == ("1280", "720", "yes")
        and row["file"].endswith(".mp4") and (job.long or float(row["duration"]) <= SHORT_S)
    ]  # fmt: skip
    if not wide:
        return None
    row = max(wide, key=lambda row: float(row["duration"]))
    clip = job.folder / row["file"]
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        # a box that players skip makes the file another one: no track of it is in the cache
        fresh, output = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        fresh.write_bytes(clip.read_bytes() + b"\0\0\0\x18free" + secrets.token_bytes(16))
        command = [sys.executable, "-m", "talkingface.apps.cli", "animate", str(fresh), str(clip), "-o", str(output)]
        command += ["--weights", job.weights] if job.weights else []
        started, before = time.perf_counter(), os.times()
        done = subprocess.run(command, capture_output=True, text=True)
        wall_s, after = time.perf_counter() - started, os.times()
        if done.returncode:
            raise TalkingFaceError(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
        info = probe(output)
    processor_s = after.children_user + after.children_system - before.children_user - before.children_system
    frames = round(info.duration_s * float(info.fps))
    return {
        "clip": row["slug"], "seconds": info.duration_s, "command_s": round(wall_s, 2),
        "frames_per_s": round(frames / wall_s, 1), "processor_s": round(processor_s, 2),
        "frames_per_processor_s": round(frames / processor_s, 1),
    }  # fmt: skip
