"""How exact and how steady the person's matte is: people keyed out before one colour, put before busy backgrounds.

The truth is a colour key (`talkingface.face.key`). Held-out clips whose upper corners show an even blue, cyan or green
are used, two of a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.data import spread
from benchmarks.targets import Finding, Row, TargetJob, at_most
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.core.progress import report_progress
from talkingface.face.key import Keyed, backdrop_hue, key_out
from talkingface.face.matte import person_matte
from talkingface.video.image import write_image
from talkingface.video.read import read_frames

FRAMES, LONGEST_PX = 25, 1280
"""Neighbouring frames of each clip, from its beginning."""
BAND_PX = 10
"""To either side of the outline."""
MEASURES = ("error", "outline", "flicker")
TODAY = {"error": 1.551, "outline": 12.12, "flicker": 1.137}
"""Means of the 256-pixel network with its guided filter in percent (2026-12-01), which are to be halved."""
MOST_VAGUE = 0.04
"""Share of half-transparent pixels above which something else than the backdrop is behind the person."""
CLIPS_EACH = 2
"""Of one person."""
SKIPPED = ("driver_two_faces",)
SHAPES = 70
_Matte = Callable[[np.ndarray], np.ndarray]


def matte(job: TargetJob) -> Finding:
    """Errors in percent of opacity, means over clips, each clip before a background of its own."""
    clips = spread(keyed_clips(job.folder), job.limit)
    scores = []
    for number, clip in enumerate(clips):
        report_progress("clips", number, len(clips))
        frames = keyed_frames(clip.path) or []
        sheet = None if job.sheets is None else job.sheets / f"matte-{clip.slug}.png"
        scores.append({"clip": clip.slug, **score(frames, number, person_matte, sheet)})
    return Finding(rows=rows(scores), details={"clips": scores})


def keyed_clips(data: Path) -> list[ClipEntry]:
    """The first two val clips of each person before an even backdrop."""
    people: dict[str, list[ClipEntry]] = {}
    for clip in list_clips(data):
        found = people.setdefault(clip.identity, [])
        if clip.split == "val" and clip.slug not in SKIPPED and len(found) < CLIPS_EACH:
            first = next(read_frames(clip.path, longest_px=LONGEST_PX)).rgb
            found += [clip] if keyed_well(first) else []
    return [clip for found in people.values() for clip in found]


def keyed_well(rgb: np.ndarray) -> bool:
    """Whether a frame has an even backdrop and hardly anything between person and backdrop."""
    hue = backdrop_hue(rgb)
    if hue is None:
        return False
    alpha = key_out(rgb, hue).alpha
    return bool(((alpha > 0.1) & (alpha < 0.9)).mean() <= MOST_VAGUE)


def rows(scores: list[dict[str, Any]]) -> list[Row]:
    """Means over clips, and the worst clip of each measure."""
    found = [Row(name="clips", value=len(scores))]
    if scores and all("unmoved" in score for score in scores):
        steady = float(np.mean([score["unmoved"] for score in scores]))
        found.append(Row(name="change of the true matte itself, there, %", value=steady))
    labels = {
        "error": "mean absolute error, %",
        "outline": f"the same within {BAND_PX} px of the outline, %",
        "flicker": "change from frame to frame that is not the person's, there, %",
    }
    for name, label in labels.items() if scores else ():
        values = {score["clip"]: score[name] for score in scores}
        worst = max(values, key=values.__getitem__)
        found += [
            at_most(label, float(np.mean([*values.values()])), TODAY[name] / 2),
            Row(name=f"worst ({worst})", value=values[worst]),
        ]
    return found


def keyed_frames(path: Path) -> list[Keyed] | None:
    """The first frames of a clip, keyed; None: its backdrop is not of one blue or green."""
    frames: Iterator[np.ndarray] = (frame.rgb for frame in read_frames(path, longest_px=LONGEST_PX))
    first = next(frames)
    hue = backdrop_hue(first)
    if hue is None:
        return None
    return [key_out(rgb, hue) for rgb in (first, *islice(frames, FRAMES - 1))]


def busy_background(size: tuple[int, int], seed: int) -> np.ndarray:
    """Blobs, bars, discs and stripes in many colours and sizes, uint8 [H, W, 3], for (width, height)."""
    rng = np.random.default_rng(seed)
    width, height = size
    few = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    picture = cv2.resize(few, size, interpolation=cv2.INTER_CUBIC)
    for _ in range(SHAPES):
        x, y = (int(rng.integers(0, side)) for side in size)
        reach = int(max(size) * rng.uniform(0.01, 0.12))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        kind = int(rng.integers(3))
        if kind == 0:
            cv2.circle(picture, (x, y), reach, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(picture, (x, y), (x + reach, y + 2 * reach), colour, -1)
        else:
            for k in range(0, reach, 6):
                cv2.line(picture, (x + k, y), (x + k + reach, y + 2 * reach), colour, 2, cv2.LINE_AA)
    grain = rng.normal(0, 4, (height, width, 1)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + grain, 0, 255).astype(np.uint8)


def score(frames: list[Keyed], seed: int, make: _Matte, sheet: Path | None = None) -> dict[str, float]:
    """Errors in percent of the mattes that `make` gives for the frames of one clip before background `seed`."""
    height, width = frames[0].alpha.shape
    background = busy_background((width, height), seed)
    found = [make(frame.over(background)) for frame in frames]
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        shown = [np.repeat((255 * alpha).astype(np.uint8)[..., None], 3, -1) for alpha in (frames[0].alpha, found[0])]
        write_image(sheet, np.concatenate([frames[0].over(background), *shown], axis=1))
    truth = np.stack([frame.alpha for frame in frames])
    unmoved = compare(np.repeat(truth[:1], len(truth), axis=0), truth)["flicker"]
    return {**compare(np.stack(found), truth), "unmoved": unmoved}


def compare(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Errors in percent of mattes [T, H, W] in [0, 1]."""
    error = np.abs(found - truth)
    bands = np.stack([outline_band(alpha) for alpha in truth])
    change = np.abs(np.diff(found, axis=0) - np.diff(truth, axis=0))
    values = (error.mean(), error[bands].mean(), change[bands[1:]].mean() if len(truth) > 1 else 0.0)
    return {name: round(100 * float(value), 4) for name, value in zip(MEASURES, values, strict=True)}


def outline_band(alpha: np.ndarray) -> np.ndarray:
    """Where the outline of a matte [H, W] is at most `BAND_PX` away, bool [H, W]."""
    solid = (alpha > 0.5).astype(np.uint8)
    near = [cv2.distanceTransform(mask, cv2.DIST_L2, 5) <= BAND_PX for mask in (solid, 1 - solid)]
    return near[0] & near[1]
