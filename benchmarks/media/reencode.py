"""How far a harsh encoder moves what `evaluate` says of a mouth: `bench --what reencode`.

The first ten seconds of each val clip are encoded again with at most a quarter of the bytes, and held against the
original, whose mouth moves alike. Many of these clips were starved before: what a quarter of 100 kbit/s shows is no
longer the same mouth, so clips that keep some bit rate are also judged by themselves.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob
from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.score.pair import score_pair
from talkingface.api.evaluation.subject import LONGEST_PX
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.core.device import num_cores
from talkingface.core.errors import TalkingFaceError
from talkingface.core.progress import report_progress
from talkingface.video.container import open_media, packets, picture_track, zero_s
from talkingface.video.read import probe, read_frames
from talkingface.video.write import VideoWriter

SECONDS = 10.0
SHARE = 0.25
FINEST, COARSEST = 12, 51
"""Constant rate factors of H.264 between which the one is sought that gives that share."""
MOST_LOST, MOST_GAP, MOST_OFFSET = 0.03, 0.01, 0.5
"""Half a frame: offsets are found in whole frames, fractions are a parabola's guess."""
STARVED_KBIT = 150
"""Below it the encoder blurs mouths and leaves them standing for frames: then it is not the tracker that errs."""


def reencode(job: TargetJob) -> Finding:
    """Correlation with the original's lips, their mean gap, and the offset to the sound, over the val clips."""
    entries = [e for e in list_clips(job.folder) if e.split == "val" and e.speaks][: job.limit]
    clips, left_out = [], {}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        for number, entry in enumerate(entries):
            report_progress("clips", number, len(entries))
            try:
                clips.append(_measure(entry, Path(folder) / f"{entry.slug}.mp4"))
            except TalkingFaceError as error:
                left_out[entry.slug] = str(error)
    return Finding(rows=list(_rows(clips)), details={"clips": clips, "left_out": left_out})


def picture_bytes(path: str | Path, end_s: float = math.inf) -> int:
    """Bytes of the compressed pictures shown before `end_s`; sound and container do not count. Raises InputError."""
    with open_media(path) as container:
        stream = picture_track(container)
        if stream is None:
            return 0
        zero, tick = zero_s(container), stream.time_base or 0
        timed = ((p.size, p.pts * tick) for p in packets(container, stream) if p.pts is not None)
        return sum(size for size, at in timed if float(at) - zero < end_s)


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
    with VideoWriter(target, size, probe(source).fps, quality=quality) as writer:
        writer.write(first)
        for frame in frames:
            writer.write(frame.rgb)


def _rows(clips: list[dict[str, Any]]) -> Iterator[Row]:
    moved = [clip for clip in clips if clip["offset_moved"] is not None]
    yield from _judged("lost correlation of the lip gap with the original's", clips, _lost, MOST_LOST)
    yield from _judged("mean lip gap moved, inter-ocular distances", clips, _gap_moved, MOST_GAP)
    yield from _judged("offset to the sound moved, frames", moved, _offset_moved, MOST_OFFSET)


def _judged(
    name: str, clips: list[dict[str, Any]], value: Callable[[dict[str, Any]], float], most: float
) -> Iterator[Row]:
    """The worst clip, of all and of those whose bit rate is not starved; and how many are within."""
    fed = [clip for clip in clips if clip["kbit_per_s"] >= STARVED_KBIT]
    for group, which in ((clips, "clips"), (fed, f"clips that keep {STARVED_KBIT} kbit/s")):
        if group:
            values = [value(clip) for clip in group]
            inside = sum(found <= most for found in values)
            counted = f"{name}: worst of {len(group)} {which}, {inside} within"
            yield Row(name=counted, value=max(values), target=f"<= {most}", met=max(values) <= most)


def _lost(clip: dict[str, Any]) -> float:
    return 1 - clip["correlation"]


def _gap_moved(clip: dict[str, Any]) -> float:
    return abs(clip["mean_gap_error"])


def _offset_moved(clip: dict[str, Any]) -> float:
    return abs(clip["offset_moved"])
