"""How far a harsh encoder moves what `evaluate` says of a mouth: `bench --what reencode`.

The first ten seconds of each val clip are encoded again with at most a quarter of the bytes, and held against the
original: its mouth moves as before, so what differs is the tracker's trouble with blocks and blur.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.api.evaluation_clip import score_pair
from talkingface.api.evaluation_pairs import Pair
from talkingface.api.evaluation_subject import LONGEST_PX
from talkingface.apps.bench import Finding, Row, TargetJob
from talkingface.core.device import num_cores
from talkingface.core.errors import TalkingFaceError
from talkingface.core.progress import tell
from talkingface.training.prepare import SILENT, ClipEntry, list_clips
from talkingface.video.read import picture_bytes, probe, read_frames
from talkingface.video.write import VideoWriter

SECONDS = 10.0
SHARE = 0.25
FINEST, COARSEST = 12, 51
"""Constant rate factors of H.264 between which the one is sought that gives that share."""
LEAST_CORRELATION, MOST_GAP, MOST_OFFSET = 0.97, 0.01, 0.5


def reencode(job: TargetJob) -> Finding:
    """Correlation with the original's lips, their mean gap, and the offset to the sound, over the val clips."""
    entries = [e for e in list_clips(job.folder) if e.split == "val" and not e.slug.startswith(SILENT)][: job.limit]
    clips, left_out = [], {}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        for number, entry in enumerate(entries):
            tell("clips", number, len(entries))
            try:
                clips.append(_measure(entry, Path(folder) / f"{entry.slug}.mp4"))
            except TalkingFaceError as error:
                left_out[entry.slug] = str(error)
    return Finding(rows=list(_rows(clips)), details={"clips": clips, "left_out": left_out})


def _measure(entry: ClipEntry, target: Path) -> dict[str, Any]:
    quality = encode_smaller(entry.path, target)
    found = score_pair(Pair(name=entry.slug, generated=target, reference=entry.path, speech=entry.sound), num_cores())
    metrics = found["metrics"]
    offsets = [metrics.get(f"sync.offset_frames{suffix}", np.nan) for suffix in ("", ".reference")]
    return {
        "clip": entry.slug,
        "size": found["size"],
        "quality": quality,
        "kbit_per_s": round(picture_bytes(target) * 8 / 1000 / probe(target).duration_s),
        "correlation": metrics["mouth.correlation_lag0.gap"],
        "lag": metrics["mouth.lag.gap"],
        "mean_gap_error": metrics["mouth.mean_gap_error"],
        "psnr": metrics.get("picture.psnr.mouth"),
        "offset_moved": offsets[0] - offsets[1] if np.isfinite(offsets).all() else None,
    }


def encode_smaller(source: Path, target: Path) -> int:
    """Encode the beginning of `source` with at most a quarter of its bytes; returns the constant rate factor."""
    wanted = SHARE * picture_bytes(source, SECONDS)
    low, high = FINEST, COARSEST
    while low < high:
        middle = (low + high) // 2
        _encode(source, target, middle)
        if picture_bytes(target) <= wanted:
            high = middle
        else:
            low = middle + 1
    _encode(source, target, low)
    return low


def _encode(source: Path, target: Path, quality: int) -> None:
    frames = takewhile(lambda frame: frame.time_s < SECONDS, read_frames(source, longest_px=LONGEST_PX))
    first = next(frames).rgb
    size = (first.shape[1], first.shape[0])
    with VideoWriter(target, size, probe(source).fps, synthetic=None, quality=quality) as writer:
        writer.write(first)
        for frame in frames:
            writer.write(frame.rgb)


def _rows(clips: list[dict[str, Any]]) -> Iterator[Row]:
    moved = [clip["offset_moved"] for clip in clips if clip["offset_moved"] is not None]
    for name, values, good, target in (
        (
            "correlation of the lip gap with the original's",
            [clip["correlation"] for clip in clips],
            lambda value: value >= LEAST_CORRELATION,
            f">= {LEAST_CORRELATION}",
        ),
        (
            "mean lip gap moved, inter-ocular distances",
            [abs(clip["mean_gap_error"]) for clip in clips],
            lambda value: value <= MOST_GAP,
            f"<= {MOST_GAP}",
        ),
        (
            "offset to the sound moved, frames",
            [abs(value) for value in moved],
            lambda value: value < MOST_OFFSET,
            f"< {MOST_OFFSET}",
        ),
    ):
        inside = [good(value) for value in values]
        worst = min(values) if target.startswith(">") else max(values)
        yield Row(name=f"{name}: worst of {len(values)} clips", value=worst, target=target, met=all(inside))
        yield Row(name=f"{name}: median", value=float(np.median(values)))
        yield Row(name=f"{name}: share of clips within", value=float(np.mean(inside)))
