"""How good avatars of `headpose` are: held-out frames against real ones, the still frame and `portrait`; new voices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.held_out import portrait_pictures
from benchmarks.targets import Finding, Row, TargetJob
from talkingface import api
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.clips.source import open_clip
from talkingface.core.cache import cache_folder, content_hash
from talkingface.core.errors import InputError
from talkingface.core.samples import sample
from talkingface.core.system import System
from talkingface.core.types import Avatar, Frames
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import mouth_measures
from talkingface.face.track import track_frames
from talkingface.metrics.behaviour import jitter
from talkingface.person.clip import FPS, ClipSettings, PersonClip, prepare_person, splits
from talkingface.person.held_out import PICTURE_FIGURES, score_held_out
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.video.read import probe
from talkingface.video.stored import StoredFrames

CLIPS = ("person31", "anchor_en")
TRAIN_FRAMES = 300
LEAST_PSNR, MOST_LMD, GAP_SLACK = 26.0, 0.05, 0.02
ALIVE = (0.7, 1.3)
"""Movement of a new voice over that of the person's real video."""


def avatar(job: TargetJob) -> Finding:
    """Fit each clip on its first 300 frames, as the paper did (resumed if it was stopped), and evaluate 100 frames from
    the first one that no general training has seen."""
    rows: list[Row] = []
    details: dict[str, Any] = {}
    found = {clip.slug: clip for clip in list_clips(job.folder)}
    for slug in CLIPS[: job.limit]:
        if slug not in found:
            raise InputError(f"{job.folder} has no clip {slug}")
        details[slug] = _judge_clip(found[slug], job)
        rows += _rows(slug, details[slug])
    return Finding(rows=rows, details=details)


def _rows(slug: str, figures: dict[str, dict[str, float]]) -> Iterator[Row]:
    own, portrait, voice = figures["headpose"], figures["portrait"], figures["new_voice"]
    strict = slug == CLIPS[0]
    wanted = (
        ("psnr as the paper measures", own["paper_psnr"], f">= {LEAST_PSNR:g}", own["paper_psnr"] >= LEAST_PSNR),
        ("psnr from the head pose alone", own["psnr"], f">= {LEAST_PSNR:g}", own["psnr"] >= LEAST_PSNR),
        ("lmd", own["lmd"], f"<= {MOST_LMD:g}", own["lmd"] <= MOST_LMD),
    )
    for name, value, target, met in wanted:  # targets are for the clip that they were set for
        yield Row(name=f"{slug}: {name}", value=value, target=target if strict else "", met=met if strict else None)
    yield Row(name=f"{slug}: psnr of the still frame", value=own["still_psnr"])
    yield Row(name=f"{slug}: lmd of the still frame", value=own["still_lmd"])
    for name in PICTURE_FIGURES:
        better = own[name] <= portrait[name] if name == "gradient_error" else own[name] >= portrait[name]
        yield Row(name=f"{slug}: {name} beside portrait's", value=own[name], target=f"{portrait[name]:.4g}", met=better)
    for name in ("gap", "width", "jaw"):
        least = portrait[name] - GAP_SLACK
        yield Row(name=f"{slug}: {name} correlation", value=own[name], target=f">= {least:.3f}", met=own[name] >= least)
    for name, value in voice.items():
        met = ALIVE[0] <= value <= ALIVE[1]
        yield Row(name=f"{slug}: new voice, {name} over the real one", value=value, target="0.7 to 1.3", met=met)


def held_out_fit(clip: ClipEntry, job: TargetJob) -> tuple[System, HeadposeConfig]:
    """`headpose` with the job's weights, and its config for a fit on the clip's first frames whose held-out ones are
    those that no general training has seen."""
    if clip.held_back is None:
        raise InputError(f"no frames of {clip.slug} are held back; name some in the column held_back of the manifest")
    first = clip.held_back.start or 0
    system = api.load("headpose", weights=job.weights)
    config: HeadposeConfig = system.config
    first = first if first >= 0 else round(probe(clip.path).duration_s * FPS) + first
    fit = dataclasses.replace(config.fit, train_frames=TRAIN_FRAMES, test_first=first)
    return system, dataclasses.replace(config, fit=fit)


def _judge_clip(clip: ClipEntry, job: TargetJob) -> dict[str, dict[str, float]]:
    path, (system, config) = clip.path, held_out_fit(clip, job)
    fit, chosen = config.fit, type(system)(system.weights, config, system.device)
    digest = "fresh" if system.weights is None else str(system.weights.card["sha256"])[:8]
    folder = cache_folder("fits", f"bench-{content_hash(path)[:16]}-{digest}")
    made = chosen.fit(open_clip(path), folder=folder)
    material = prepare_person(path, folder, load_mesh478(), ClipSettings(least_s=fit.least_s, one_shot=fit.one_shot))
    _, test = splits(len(material), fit.test_first, fit.test_frames, fit.train_frames)
    figures = {
        "headpose": dict(made.card["held_out"]),  # type: ignore[call-overload]
        "portrait": _portrait(material, np.flatnonzero(test), job.sheets),
        "new_voice": _new_voice(chosen, made, material),
    }
    if job.sheets is not None:
        job.sheets.mkdir(parents=True, exist_ok=True)
        (job.sheets / f"{path.stem}-headpose.mp4").write_bytes(made.files["held_out"].read_bytes())
    return figures


def _portrait(material: PersonClip, test: np.ndarray, sheets: Path | None) -> dict[str, float]:
    """The clip's frame 0 animated by `portrait`, with the sound and the head pose of the test frames."""
    first, last = int(test[0]), int(test[-1]) + 1
    video = None
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
        video = sheets / f"{material.frames.parent.name}-portrait.mp4"
    made = {"portrait": portrait_pictures(material, first, last)}
    samples = material.samples[16000 * first // FPS : 16000 * last // FPS]
    frames = StoredFrames(material.frames, material.size)
    return score_held_out(made, frames, material.track, first, samples, video, "portrait")["portrait"]


def _new_voice(system: Any, made: Avatar, material: PersonClip) -> dict[str, float]:
    """Movement of the mouth and jitter while the avatar says the shipped speech, over those of the real video."""
    spoken = api.animate(made, sample("speech"), system="headpose", size="native")

    def pictures(pieces: Iterator[Frames]) -> Iterator[tuple[np.ndarray, float]]:
        for piece in pieces:
            for number, rgb in enumerate(piece.rgb, piece.start):
                yield rgb, number / FPS

    track = track_frames(pictures(iter(spoken)))
    real = material.track.landmarks
    gaps = [float(mouth_measures(points)[:, 0].std()) for points in (track.landmarks, real)]
    shakes = [float(jitter(points)[0]) for points in (track.landmarks, real)]
    return {"gap deviation": gaps[0] / gaps[1], "jitter": shakes[0] / shakes[1]}
