"""How well `portrait` draws: frame 0 of unseen clips driven by their own tracks, against the real frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from benchmarks.data import beginning, clip_track, inside, mouth_box
from benchmarks.targets import Finding, Row, TargetJob, at_least
from talkingface import api
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.core.pace import PACES
from talkingface.core.progress import report_progress
from talkingface.face.track import smooth_track
from talkingface.photo.composite import Drawer, hidden_mouth
from talkingface.photo.refine import Drawn, Refiner, composite_residual, look_at, make_view
from talkingface.photo.scene import make_scene, rigid_between
from talkingface.photo.window import face_square, window_at, window_side

BATCH = PACES["best"].batch
LONGEST_PX = 1280
CLIP_S = 10.0
MOST_FRAMES = 150  # of longer clips every second frame is drawn
SKIPPED = ("driver_two_faces", "driver_no_face")
SCORED, MOUTH = 1.3, 1.5  # the scored square and the mouth box, over the face's and the lips' own
STILL_GAIN_DB, WARP_GAIN_DB, WORST_DB = 3.5, 1.5, 0.0
SHARPNESS = (0.9, 1.1)
STAGES = ("still", "warp", "full")


def picture(job: TargetJob) -> Finding:
    """Each val clip's first frame driven by the clip's own track, against the clip's frames."""
    refiner = api.load("portrait", weights=job.weights).refiner  # type: ignore[attr-defined]
    clips = [clip for clip in list_clips(job.folder) if clip.split == "val" and clip.slug not in SKIPPED]
    scores = []
    for number, clip in enumerate(clips[: job.limit]):
        report_progress("clips", number, len(clips[: job.limit]))
        scores.append(score_clip(clip, refiner))
    means = {name: float(np.mean([score[name] for score in scores])) for name in (*STAGES, "sharpness")}
    over_still, over_warp = means["full"] - means["still"], means["full"] - means["warp"]
    worst = min(scores, key=lambda score: score["full"] - score["still"])
    worst_db = worst["full"] - worst["still"]
    low, high = SHARPNESS
    gains = (
        ("gain over the still frame, dB", over_still, STILL_GAIN_DB),
        ("gain over the bare warp, dB", over_warp, WARP_GAIN_DB),
        (f"worst clip over its still ({worst['clip']}), dB", worst_db, WORST_DB),
    )
    rows = [
        *(Row(name=f"mean PSNR, {name}, dB", value=means[name]) for name in STAGES),
        *(at_least(name, gain, least) for name, gain, least in gains),
        Row(
            name="mouth gradient energy over the real frame's",
            value=means["sharpness"],
            target=f"{low:g} to {high:g}",
            met=low <= means["sharpness"] <= high,
        ),
    ]
    return Finding(rows=rows, details={"clips": scores})


def score_clip(clip: ClipEntry, refiner: Refiner) -> dict[str, Any]:
    """Mean PSNR in dB of still frame, bare warp and full picture over the scored square, and the mouth's sharpness."""
    track = clip_track(clip.path)
    driven = smooth_track(track)  # as `motion_from_video` drives
    seen = np.flatnonzero(track.confidence > 0)
    first = int(seen[0])
    wanted = set(seen[seen > first][:: 2 if len(seen) > MOST_FRAMES else 1].tolist())
    drawing: Drawing | None = None
    held: list[tuple[np.ndarray, np.ndarray]] = []
    table = _Scores()
    for number, frame in enumerate(beginning(clip.path)):
        if number == first:
            drawing = Drawing(frame.rgb, track.landmarks[first], refiner)
        elif number in wanted and drawing is not None:
            held.append((frame.rgb, driven.landmarks[number]))
        if drawing is not None and len(held) == BATCH:
            table.add(drawing, held)
            held = []
    if drawing is not None and held:
        table.add(drawing, held)
    return {"clip": clip.slug, "frames": len(table.psnr), **table.means()}


class Drawing:
    """A frame as the photo, and others drawn from it by their landmarks."""

    def __init__(self, photo: np.ndarray, points: np.ndarray, refiner: Refiner) -> None:
        self.photo = photo
        self._points, self._refiner = points, refiner
        self._drawer = Drawer(make_scene(photo, points), hidden_mouth(photo, points))
        config = refiner.config
        self._side = window_side(points)
        self._look = look_at(photo, points, config, None, refiner.mouth_for(points))

    def draw(self, targets: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Bare warps and mended pictures for at most BATCH sets of landmarks."""
        config, warps, views = self._refiner.config, [], []
        for target in targets:
            out = self.photo.copy()
            alpha = self._drawer.draw(target, rigid_between(self._points, target), out)
            window = window_at(target, self._side, config.crop_px)
            drawn = Drawn(picture=out, alpha=alpha, source=self._points, target=target)
            views.append(make_view(drawn, self._look, window, config.mouth_px))
            warps.append(out)
        face, mouth = self._refiner.changes(views + [views[-1]] * (BATCH - len(views)))
        full = [warp.copy() for warp in warps]
        for k, out in enumerate(full):
            composite_residual(out, self.photo, views[k], face[k], mouth[k])
        return warps, full


@dataclass(slots=True)
class _Scores:
    psnr: list[list[float]] = field(default_factory=list)
    energy: list[tuple[float, float]] = field(default_factory=list)

    def add(self, drawing: Drawing, frames: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Score the drawings of true (picture, landmarks) pairs."""
        warps, full = drawing.draw([points for _, points in frames])
        for (truth, points), warp, mended in zip(frames, warps, full, strict=True):
            box = scored_box(points, truth.shape)
            self.psnr.append([psnr(picture[box], truth[box]) for picture in (drawing.photo, warp, mended)])
            lips = mouth_box(points, truth.shape)
            self.energy.append((gradient_energy(mended[lips]), gradient_energy(truth[lips])))

    def means(self) -> dict[str, float]:
        """Mean PSNR of each stage, and the painted mouth's gradient energy over the real one's."""
        painted, real = np.mean(self.energy, axis=0)
        values = [*np.mean(self.psnr, axis=0), painted / max(real, 1e-9)]
        return {name: round(float(v), 4) for name, v in zip((*STAGES, "sharpness"), values, strict=True)}


def scored_box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The bounding square of landmarks [478, 3], enlarged, as rows and columns of a picture of `shape`."""
    centre, side = face_square(points)
    return inside(centre - SCORED * side / 2, centre + SCORED * side / 2, shape)


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 pictures in dB; equal pictures give 99."""
    error = float(np.square(picture.astype(np.float32) - truth).mean())
    return min(99.0, 10 * np.log10(255**2 / max(error, 1e-9)))


def gradient_energy(rgb: np.ndarray) -> float:
    """Mean squared difference of neighbouring pixels' luma, in x and y: how much detail there is."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.square(np.diff(luma, axis=1)).mean() + np.square(np.diff(luma, axis=0)).mean())
