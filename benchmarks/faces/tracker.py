"""The face tracker beside MediaPipe's own program, whose models it runs: points, measures, trembling, speed.

MediaPipe is measured where it is installed (`pip install mediapipe==0.10.21` in an environment of its own, Python 3.12
or older); its rows are left out elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most
from talkingface.clips.manifest import list_clips
from talkingface.core.device import num_cores
from talkingface.core.errors import FaceError
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.face.blink import eye_closure
from talkingface.face.camera import euler_degrees
from talkingface.face.detector import run_detector
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.mouth_measures import mouth_measures
from talkingface.face.networks import face_models, see_square, to_input
from talkingface.face.track import FaceTracker, fill_gaps, track_image
from talkingface.video.image import is_image, read_image
from talkingface.video.jpeg import from_jpeg, to_jpeg
from talkingface.video.read import read_frames

FRAMES = 120  # of each clip
LONGEST_PX = 1280
MOVED_PX = 5  # MediaPipe sees the same pictures so far aside: what its answers differ by then is noise
NOISE, JPEG_QUALITY, UNMOVED_FRAMES = 3.0, 85, 40
MEASURES = ("gap", "width", "jaw", "eye closure", "yaw", "pitch", "roll")
REFUSED = ("animal_dog",)

Look = Callable[[np.ndarray], np.ndarray | None]


def tracker(job: TargetJob) -> Finding:
    """`bench --what tracker`: over the clips and portraits of a data folder."""
    rows, details = [], {}
    mediapipe = _mediapipe()
    if mediapipe is not None:
        found, details["clips"] = _agreement(
            job, [clip.path for clip in list_clips(job.folder)[: job.limit]], mediapipe
        )
        rows += found
    rows += _portraits(job, mediapipe)
    rows += _speed(job)
    return Finding(rows=rows, details=details)


def _agreement(job: TargetJob, clips: list[Path], mediapipe: Any) -> tuple[list[Row], dict[str, Any]]:
    apart, own, noise, seen, per_clip = [], [], [], np.zeros(2), {}
    for number, path in enumerate(clips, 1):
        report_progress("following faces", number, len(clips))
        pictures = [frame.rgb for frame in islice(read_frames(path, longest_px=LONGEST_PX), FRAMES)]
        if not pictures:
            continue
        ours = _follow(pictures, _ours())
        theirs = _follow(pictures, mediapipe.mesh())
        moved = _follow([_aside(rgb) for rgb in pictures], mediapipe.mesh())
        seen += [sum(points is not None for points in each) for each in (ours, theirs)]
        kept = [
            k for k in range(len(pictures)) if ours[k] is not None and theirs[k] is not None and moved[k] is not None
        ]
        if len(kept) < 20:
            continue
        a, b, c = (np.stack([np.asarray(each[k]) for k in kept]) for each in (ours, theirs, moved))
        c = c - np.array([MOVED_PX, 0, 0], np.float32)
        unit = np.linalg.norm(b[:, 33] - b[:, 263], axis=1)[:, None]
        distance = np.linalg.norm((a - b)[..., :2], axis=-1) / unit
        apart.append(distance.ravel()[::3])
        size = pictures[0].shape[1], pictures[0].shape[0]
        measured = [_measures(points, size) for points in (a, b, c)]
        own.append([np.corrcoef(measured[0][:, k], measured[1][:, k])[0, 1] for k in range(len(MEASURES))])
        noise.append([np.corrcoef(measured[2][:, k], measured[1][:, k])[0, 1] for k in range(len(MEASURES))])
        per_clip[path.name] = {"median": float(np.median(distance)), "correlation": float(min(own[-1]))}
    all_apart = np.concatenate(apart)
    rows = [
        at_most("points apart, median, eye distances", float(np.median(all_apart)), 0.003),
        at_most("points apart, 99 %, eye distances", float(np.percentile(all_apart, 99)), 0.02),
        at_least("frames with a face, over MediaPipe's", float(seen[0] / seen[1]), 1.0),
    ]
    for k, name in enumerate(MEASURES):
        mine, theirs = np.array(own)[:, k], np.array(noise)[:, k]
        rows.append(Row(name=f"{name}: correlation, median", value=float(np.median(mine)), target=">= 0.995"))
        rows.append(at_least(f"{name}: correlation, worst", float(mine.min()), 0.995))
        rows.append(Row(name=f"{name}: MediaPipe with itself {MOVED_PX} px aside, worst", value=float(theirs.min())))
    return rows, per_clip


def _portraits(job: TargetJob, mediapipe: Any) -> list[Row]:
    missed, wrong, steps, mattes = 0, 0, [], []
    files = sorted(path for path in (job.folder / "portrait").iterdir() if is_image(path))[: job.limit]
    for number, path in enumerate(files, 1):
        report_progress("looking at portraits", number, len(files))
        rgb = read_image(path).opaque()
        try:
            track_image(rgb)
            wrong += path.stem in REFUSED
        except FaceError:
            missed += path.stem not in REFUSED
            continue
        if mediapipe is not None:
            small = _at_most(rgb, 640)
            pictures = list(_unmoved(small))
            steps.append([_step(_follow(pictures, look)) for look in (_ours(), mediapipe.mesh())])
            mattes.append(float(np.abs(_matte(small) - mediapipe.matte(small)).mean()))
    rows = [at_most("portraits without a face found", missed, 0), at_most("animals taken for people", wrong, 0)]
    if steps:
        ours, theirs = np.nanmedian(np.array(steps, float), axis=0)
        rows.append(at_most("trembling of unmoved faces, over MediaPipe's", float(ours / theirs), 1.0))
        rows.append(at_most("matte: mean difference, worst", max(mattes), 0.01))
    return rows


def _speed(job: TargetJob) -> list[Row]:
    rgb = cv2.resize(read_image(sample("portrait")).rgb, (720, 720))
    frame = cv2.copyMakeBorder(rgb, 0, 0, 280, 280, cv2.BORDER_REPLICATE)
    pictures = [np.roll(frame, k, axis=1) for k in range(8)]
    rows = []
    for cores, target in ((2, 157), (1, 90)):
        command = [sys.executable, "-c", _SPEED.format(cores=cores)]
        if cores <= num_cores():
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(at_least(f"tracking at 720p, {cores} core(s), frames/s", float(done.stdout), target))
    large = cv2.resize(pictures[0], (3840, 2160))
    run_detector(large, "short_range")
    started = time.perf_counter()
    for _ in range(10):
        run_detector(large, "short_range")
        run_detector(large, "full_range")
    return [*rows, at_most("both detectors on a 4K frame, ms", 100 * (time.perf_counter() - started), 15)]


_SPEED = """
import os, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])
import cv2, numpy as np
from talkingface.core.samples import sample
from talkingface.face.track import FaceTracker
from talkingface.video.image import read_image
cv2.setNumThreads({cores})
rgb = cv2.resize(read_image(sample("portrait")).rgb, (720, 720))
frame = cv2.copyMakeBorder(rgb, 0, 0, 280, 280, cv2.BORDER_REPLICATE)
pictures = [np.roll(frame, k, axis=1) for k in range(8)]
tracker = FaceTracker()
for k in range(20):
    tracker.update(pictures[k % 8], k / 25)
started = time.perf_counter()
for k in range(300):
    tracker.update(pictures[abs(k % 14 - 7)], k / 25)
print(300 / (time.perf_counter() - started))
"""


def _ours() -> Look:
    tracker, clock = FaceTracker(), count()
    return lambda rgb: tracker.update(rgb, next(clock) / 25)


def _follow(pictures: list[np.ndarray], look: Look) -> list[np.ndarray | None]:
    return [look(rgb) for rgb in pictures]


def _aside(rgb: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(rgb, 0, 0, MOVED_PX, 0, cv2.BORDER_REPLICATE)


def _measures(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[T, 7]: see `MEASURES`."""
    track = fill_gaps(list(points), np.arange(len(points)) / 25, size)
    angles = np.asarray(euler_degrees(fit_track(load_mesh478(), track).rotation))
    return np.column_stack([mouth_measures(points), eye_closure(points), angles])


def _unmoved(rgb: np.ndarray) -> Iterator[np.ndarray]:
    """The same picture with a camera's noise and compression."""
    rng = np.random.default_rng(0)
    for _ in range(UNMOVED_FRAMES):
        noisy = np.clip(rgb + rng.normal(0, NOISE, rgb.shape), 0, 255).astype(np.uint8)
        yield from_jpeg(to_jpeg(noisy, JPEG_QUALITY))


def _step(found: list[np.ndarray | None]) -> float:
    """Mean movement between frames, in eye distances; not a number where the face was not followed."""
    points = [rows for rows in found[8:] if rows is not None]
    if len(points) < UNMOVED_FRAMES - 8:
        return float("nan")
    stacked = np.stack(points)[..., :2]
    return float(np.abs(np.diff(stacked, axis=0)).mean() / np.linalg.norm(stacked[0, 33] - stacked[0, 263]))


def _matte(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    small = see_square(rgb, np.array([[0, height], [0, 0], [width, 0], [width, height]]), 256)
    return cv2.resize(face_models().networks["matte"](to_input(small))[0][0, 0], (width, height))


def _at_most(rgb: np.ndarray, longest_px: int) -> np.ndarray:
    scale = min(1.0, longest_px / max(rgb.shape[:2]))
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _mediapipe() -> Any:
    """MediaPipe's program, or None where it is not installed."""
    try:
        from mediapipe.python.solutions import (  # pyright: ignore[reportMissingImports]
            face_mesh,
            selfie_segmentation,
        )
    except ImportError:
        return None

    class Program:
        def mesh(self) -> Look:
            """Follows one face; frames are made square, because its program turns regions in squares only."""
            graph: Any = face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)

            def look(rgb: np.ndarray) -> np.ndarray | None:
                height, width = rgb.shape[:2]
                side = max(height, width)
                square = cv2.copyMakeBorder(rgb, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT)
                found = graph.process(square).multi_face_landmarks
                return np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32) * side if found else None

            return look

        def matte(self, rgb: np.ndarray) -> np.ndarray:
            graph: Any = selfie_segmentation.SelfieSegmentation(0)
            return graph.process(rgb).segmentation_mask

    return Program()
