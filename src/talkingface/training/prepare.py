"""Clips on disk become tracked, sound-aligned training material: one .npz and one .wav a clip, resumable."""

from __future__ import annotations

import csv
import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.core.errors import InputError, TalkingFaceError

RATE_HZ = 16000
HELD_BACK = {"person31": (300, 606), "anchor_en": (-500, None)}
"""Frames that later systems are judged on; nothing general trains on them."""
SILENT = ("driver_", "vox_profile_man")
"""Clips without usable speech or with a face in profile: their mouths teach nothing."""
SURE_SYNC = 0.4
"""Correlation from which a lag in the manifest is believed."""
LISTED_ERROR_S = 0.05
"""Listed lags come in whole frames: smaller ones may be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipEntry:
    """A clip of a data folder: path, optional own soundtrack, split, person and licence class."""

    slug: str
    path: Path
    sound: Path
    split: str
    identity: str
    licence_class: str


def list_clips(data: Path) -> list[ClipEntry]:
    """Clips of a data folder: rows of kind `video` in its manifest.csv, plus `arabic_words/`.

    Raises InputError when there is no manifest.
    """
    manifest = data / "manifest.csv"
    if not manifest.is_file():
        raise InputError(f"{data} has no manifest.csv; give a folder with one row a clip (see docs/training.md)")
    clips = []
    with manifest.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["kind"] != "video" or row["slug"] == "driver_no_face":
                continue
            path = data / row["file"]
            sidecar = path.with_suffix(".wav")
            clips.append(
                ClipEntry(
                    slug=row["slug"],
                    path=path,
                    sound=sidecar if sidecar.is_file() else path,
                    split=row["split"],
                    identity=row["identity"],
                    licence_class=row["licence_class"],
                )
            )
    for path in sorted((data / "arabic_words").glob("*.mp4")):
        clips.append(
            ClipEntry(
                slug=f"words_{path.stem}", path=path, sound=path, split="train", identity="arabic_anchor",
                licence_class="research",
            )
        )  # fmt: skip
    return clips


def prepare(data: Path, folder: Path, workers: int = 2) -> list[str]:
    """Track every clip of `data` into `folder`; clips done before are skipped. Returns the slugs that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = list_clips(data)
    todo = [(clip, folder) for clip in clips if not (folder / f"{clip.slug}.npz").is_file()]
    failed = []
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for slug, problem in pool.imap_unordered(_prepare_one, todo):
            if problem:
                failed.append(f"{slug}: {problem}")
    index = [
        {
            "slug": c.slug,
            "split": c.split,
            "identity": c.identity,
            "licence_class": c.licence_class,
            "path": str(c.path),
        }
        for c in clips
        if (folder / f"{c.slug}.npz").is_file()
    ]
    (folder / "index.json").write_text(json.dumps(index, indent=1))
    return failed


def read_index(folder: Path) -> list[dict[str, str]]:
    """Rows of a prepared folder's index.json. Raises InputError if it is none."""
    try:
        return json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        problem = f"{folder} is no prepared data folder (no readable index.json); prepare the data first"
        raise InputError(problem) from error


def listed_lags(data: Path) -> dict[str, float]:
    """How late people's lips are by the data folder's manifest (column `lag_pred`), in seconds: medians by person.

    Only lags that are sure and more than rounding. They say where zero is: offsets that all clips share could not be
    found by training on them.
    """
    lags: dict[str, list[float]] = {}
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get("lag_pred") and row.get("r_pred") and float(row["r_pred"]) >= SURE_SYNC:
                lags.setdefault(row["identity"], []).append(float(row["lag_pred"]))
    found = {person: float(np.median(values)) for person, values in lags.items()}
    return {person: late for person, late in found.items() if abs(late) > LISTED_ERROR_S}


def _prepare_one(job: tuple[ClipEntry, Path]) -> tuple[str, str]:
    clip, folder = job
    from talkingface.audio.read import read_audio
    from talkingface.core.errors import SpeechError
    from talkingface.face.track import track_frames
    from talkingface.video.read import read_frames

    try:
        track = track_frames((frame.rgb, frame.time_s) for frame in read_frames(clip.path))
        try:
            samples = read_audio(clip.sound, RATE_HZ).samples[0]
        except SpeechError:
            samples = np.zeros(int(track.times_s[-1] * RATE_HZ), np.float32)
    except TalkingFaceError as error:
        return clip.slug, str(error)
    temporary = folder / f"{clip.slug}.part.npz"
    np.savez(
        temporary,
        landmarks=track.landmarks,
        times_s=track.times_s,
        confidence=track.confidence,
        size=np.array(track.size),
        samples=np.round(samples * 32767).astype(np.int16),
    )
    temporary.rename(folder / f"{clip.slug}.npz")
    return clip.slug, ""
