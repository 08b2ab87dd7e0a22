"""How well `pcavs` keeps who, what is said and how the head is held apart: on people it never saw."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most
from talkingface import api
from talkingface.apps.bench.command import measure
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import list_clips
from talkingface.clips.source import open_clip, open_media
from talkingface.core.errors import FaceError
from talkingface.core.lags import best_lag, correlation
from talkingface.core.motion import concatenate, replace_pose
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.core.system import System
from talkingface.core.types import Avatar, Controls, Motion, Track
from talkingface.face.camera import euler_degrees
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.mouth_measures import mouth_measures
from talkingface.face.track import track_frames
from talkingface.video.read import probe, read_frames

SYSTEM = "pcavs"
TURNING_DEG = 5.0
"""Standard deviation of yaw from which a clip shows turns."""
BETTER_SHARE, YAW_FOLLOWS, MOUTH_STAYS, LEAKS, LEAST_FPS = 0.85, 0.8, 0.85, 0.1, 49.0
LEAST_LEAK_S = 60.0
FACES = 3
"""Unseen faces that each pose clip turns."""
FPS = 25


def control(job: TargetJob) -> Finding:
    """All of it; `limit` bounds the clips of each part."""
    rows, details = _pictures(job)
    system = api.load(SYSTEM, weights=job.weights)
    clips = [clip for clip in list_clips(job.folder) if "driver_" not in clip.slug]
    faces = _faces(system, [clip.path for clip in clips if clip.split == "val"])
    turns = _turns(system, faces, [clip.path for clip in clips], job.limit)
    stays = _swaps(system, faces, [clip.path for clip in clips if clip.slug.startswith("vox_")], job)
    leaks = _leaks(system, faces, [clip.path for clip in clips], job.limit)
    speed = measure(60.0, None, None, 512, system=SYSTEM, weights=job.weights)
    leaked = max(abs(r["gap"]) for r in leaks)
    rows += [
        at_least("yaw follows the pose clip, mean correlation", float(np.mean([r["yaw"] for r in turns])), YAW_FOLLOWS),
        Row(name="the worst of them", value=min(r["yaw"] for r in turns)),
        at_least(
            "mouth stays when the pose clip is swapped, mean correlation",
            float(np.mean([r["gap"] for r in stays])),
            MOUTH_STAYS,
        ),
        Row(name="the worst of them", value=min(r["gap"] for r in stays)),
        at_most("silence: correlation with the pose clip's mouth, largest", leaked, LEAKS),
        at_least("animate, 60 s, frames/s", speed["frames_per_s"], LEAST_FPS),
    ]
    return Finding(rows=rows, details={**details, "turns": turns, "swaps": stays, "leaks": leaks, "speed": speed})


def _pictures(job: TargetJob) -> tuple[list[Row], dict[str, Any]]:
    """Val clips driven by themselves against their still first frame, by `api.evaluate_systems`."""
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as scratch:
        name = job.weights or SYSTEM
        output = (job.sheets or Path(scratch)) / "control.json"
        output.parent.mkdir(parents=True, exist_ok=True)
        report = api.evaluate_systems([name], job.folder, output, limit=job.limit)
    scored: dict[str, dict[str, dict[str, float]]] = {}
    for record in report["clips"]:
        if record["protocol"] == "self-driven" and record["status"] == "scored":
            scored.setdefault(record["name"].rpartition(", ")[2], {})[record["system"]] = record["metrics"]
    pairs = [(rows[name], rows["still photo"]) for rows in scored.values() if {name, "still photo"} <= set(rows)]
    rows = []
    for key, sign in (("picture.ssim.face", 1), ("picture.ssim.frame", 1), ("landmarks.lmd_aligned", -1)):
        share = float(np.mean([sign * (ours[key] - still[key]) > 0 for ours, still in pairs]))
        rows.append(at_least(f"clips with a better {key} than the still photo", share, BETTER_SHARE))
    for key in ("mouth.correlation.gap", "mouth.correlation.jaw", "mouth.gap_ratio", "picture.psnr.face"):
        rows.append(Row(name=key, value=float(np.mean([ours[key] for ours, _ in pairs]))))
    return rows, {"pictures": dict(scored)}


def _faces(system: System, paths: list[Path]) -> list[Avatar]:
    """First frames of some clips as faces."""
    faces: list[Avatar] = []
    for path in paths[:: max(1, len(paths) // (2 * FACES))]:
        try:
            faces.append(system.fit(open_media(next(iter(read_frames(path))).rgb)))
        except FaceError:
            continue
        if len(faces) == FACES:
            break
    return faces


def _turns(system: System, faces: list[Avatar], paths: list[Path], limit: int | None) -> list[dict[str, Any]]:
    """Correlation of yaw of what was drawn with the pose clip's, for clips that turn."""
    found: list[dict[str, Any]] = []
    chosen = [path for path in paths if path.stem.startswith("vox_")] + [p for p in paths if "_" not in p.stem]
    for number, path in enumerate(chosen[:limit]):
        report_progress("turning heads", number, len(chosen))
        true = _yaw(_points((f.rgb, f.time_s) for f in read_frames(path, fps=FPS)))
        if path.stem[:4] != "vox_" and true.std() < TURNING_DEG:
            continue
        for face in faces:
            moved = concatenate(system.motion_from_video(face, open_clip(path), Controls()))
            yaw = _yaw(_drawn(system, face, moved))
            count = min(len(yaw), len(true))
            value = correlation(yaw[:count], true[:count])
            found.append({"pose": path.stem, "yaw": float(value), "std_deg": float(true.std())})
    return found


def _swaps(system: System, faces: list[Avatar], poses: list[Path], job: TargetJob) -> list[dict[str, Any]]:
    """Correlation of the mouth's gap between any two results of one face and one voice with different pose clips."""
    voice = read_audio(sample("speech"), 16000).samples.mean(axis=0)
    found: list[dict[str, Any]] = []
    for number, face in enumerate(faces):
        report_progress("swapping poses", number, len(faces))
        spoken = concatenate(system.motion_from_audio(face, iter([voice]), Controls(pose="still")))
        gaps: dict[str, np.ndarray] = {}
        for path in poses[: job.limit or 4]:
            rows = concatenate(system.motion_from_video(face, open_clip(path), Controls())).pose
            gaps[path.stem] = mouth_measures(_drawn(system, face, _posed(spoken, rows)))[:, 0]
        found += [
            {"poses": [one, other], "gap": float(correlation(gaps[one], gaps[other]))}
            for one, other in combinations(gaps, 2)
        ]
    return found


def _leaks(system: System, faces: list[Avatar], paths: list[Path], limit: int | None) -> list[dict[str, Any]]:
    """Silence with the head of a long speaking clip: what its mouth leaves in the result."""
    found = []
    for path in [path for path in paths if (probe(path).duration_s or 0) >= LEAST_LEAK_S][: limit or 2]:
        true = mouth_measures(_points((f.rgb, f.time_s) for f in read_frames(path, fps=FPS)))[:, 0]
        face = faces[0]
        silence = np.zeros(len(true) * 16000 // FPS, np.float32)
        quiet = concatenate(system.motion_from_audio(face, iter([silence]), Controls(pose="still")))
        rows = concatenate(system.motion_from_video(face, open_clip(path), Controls())).pose
        gap = mouth_measures(_drawn(system, face, _posed(quiet, rows)))[:, 0]
        count = min(len(gap), len(true))
        found.append({"pose": path.stem, "gap": float(best_lag(gap[:count], true[:count], 3)[1]),
                      "std": float(gap.std())})  # fmt: skip
    return found


def _posed(spoken: Motion, rows: np.ndarray | None) -> Motion:
    return concatenate(replace_pose([spoken], rows))


def _drawn(system: System, face: Avatar, moved: Motion) -> np.ndarray:
    """Landmarks [T, 478, 3] of the face that was drawn."""

    def pictures() -> Iterator[tuple[np.ndarray, float]]:
        for piece in system.render(face, iter([moved]), Controls(crop="head")):
            for number, rgb in enumerate(piece.rgb, piece.start):
                yield rgb, number / FPS

    return _points(pictures())


def _points(pictures: Iterator[tuple[np.ndarray, float]]) -> np.ndarray:
    return track_frames(pictures).landmarks


def _yaw(points: np.ndarray) -> np.ndarray:
    """Yaw of tracked points in degrees [T]."""
    track = Track(landmarks=points, times_s=np.arange(len(points)) / FPS, confidence=np.ones(len(points), np.float32),
                  size=(1, 1))  # fmt: skip
    return np.asarray(euler_degrees(fit_track(load_mesh478(), track).rotation))[:, 0]
