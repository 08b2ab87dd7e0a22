"""How fast and how well a person is fitted in 3D to a video: `person31` of a data folder, tracking not counted."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob
from talkingface.clips.manifest import list_clips
from talkingface.clips.tracked import track_clip
from talkingface.core.device import num_cores, peak_memory_mb
from talkingface.core.errors import InputError
from talkingface.face import raster
from talkingface.face.camera import to_screen
from talkingface.face.fit3d import VideoFit, fit_video, lit_colours
from talkingface.face.fit_light import look_at_face
from talkingface.face.morphable import load_mesh478
from talkingface.face.subdivision import mesh478_surface
from talkingface.video.image import write_image
from talkingface.video.read import read_frames

CLIP = "person31"
FASTEST = 10.0  # frames a second
SCORED = 24  # frames drawn again and compared


def fit3d(job: TargetJob) -> Finding:
    """Fit the clip (its first `limit` frames), then draw some frames again from the fit and compare."""
    path = _clip(job)
    track = track_clip(path).track
    count = min(job.limit or len(track), len(track))
    track = track.part(0, count)
    model, surface = load_mesh478(), mesh478_surface()
    started, used = time.perf_counter(), time.process_time()
    fit = fit_video(model, surface, track, lambda: _pictures(path, count))
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - used
    errors = [error for _, error in _redrawn(path, fit, job.sheets)]
    turned = np.diff(fit.head.translation, 2, axis=0)
    return Finding(
        rows=[
            Row(name="frames a second", value=count / wall_s, target=f">= {FASTEST:g}", met=count / wall_s >= FASTEST),
            Row(name="processor time a frame, ms", value=1000 * cpu_s / count),
            Row(name="drawn again, PSNR over the face, dB", value=float(np.mean(errors))),
            Row(name="worst frame, dB", value=float(np.min(errors))),
            Row(name="peak memory, MB", value=peak_memory_mb()),
        ],
        details={
            "clip": CLIP,
            "frames": count,
            "cores": num_cores(),
            "focal_px": round(fit.head.camera.focal_px),
            "unevenness_of_position": float(np.sqrt(np.square(turned).mean())),
        },
    )


def _clip(job: TargetJob) -> Path:
    for clip in list_clips(job.folder):
        if clip.slug == CLIP:
            return clip.path
    raise InputError(f"{job.folder} has no clip {CLIP}; give the folder of development data")


def _pictures(path: Path, count: int) -> Iterator[np.ndarray]:
    return (frame.rgb for frame in itertools.islice(read_frames(path), count))


def _redrawn(path: Path, fit: VideoFit, sheets: Path | None) -> Iterator[tuple[int, float]]:
    """Frame numbers and PSNR in dB over the drawn face; pictures of both beside each other go to `sheets`."""
    model, surface = load_mesh478(), mesh478_surface()
    chosen = set(np.linspace(0, len(fit) - 1, min(SCORED, len(fit))).astype(int).tolist())
    for number, rgb in enumerate(_pictures(path, len(fit))):
        if number not in chosen:
            continue
        points = fit.points(model, surface, number)
        view = look_at_face(rgb, fit.head.camera, points)
        seen = raster.rasterize(to_screen(view.camera, points), surface.visible, view.camera.size, perspective=True)
        colours = lit_colours(surface, points, fit.albedo, fit.light[number])
        drawn = np.clip(raster.interpolate(seen, surface.visible, colours), 0, 255).astype(np.uint8)
        face = seen.face_id >= 0
        error = np.square(drawn[face].astype(np.float64) - view.picture[face]).mean()
        if sheets is not None:
            sheets.mkdir(parents=True, exist_ok=True)
            write_image(sheets / f"fit3d_{number:04d}.png", np.concatenate([view.picture, drawn], axis=1))
        yield number, float(10 * np.log10(255**2 / max(error, 1e-9)))
