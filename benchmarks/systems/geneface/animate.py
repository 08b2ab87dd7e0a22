"""How fast avatars of `geneface` speak, and in how much memory: the whole command in a process of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.media.commands import animate_once
from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most
from talkingface.apps.bench.command import write_speech
from talkingface.core.errors import UsageError
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.core.weights import find_avatar, is_avatar, list_weights, read_card
from talkingface.systems.geneface import SPEC

SECONDS, SHORT_S = 60.0, 15.0
FRAMES_PER_S = {512: 60.0, 256: 100.0}
PEAK_MB, GROWTH = 1000.0, 1.05


def geneface_animate(job: TargetJob) -> Finding:
    """`animate` of a minute of the shipped speech at 512 and 256 pixels, and of a quarter of it. `job.weights`: avatars
    with commas; else the first in the store. `--limit 1`: at 512 pixels alone."""
    rows: list[Row] = []
    details: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        voices = {seconds: Path(folder) / f"{seconds:g}.wav" for seconds in (SHORT_S, SECONDS)}
        for seconds, voice in voices.items():
            write_speech(sample("speech"), seconds, voice)
        for avatar in _avatars(job):
            name = avatar.name.removesuffix(".avatar")
            found = details[name] = {"load_before": os.getloadavg()[0]}
            output = Path(folder) / "out.mp4"
            report_progress("speaking", 0, 3)
            _, short_mb = animate_once(avatar, voices[SHORT_S], output, "--size", "512")  # also warms up
            found["peak_mb_of_a_quarter"] = short_mb
            for number, (size, wanted) in enumerate([*FRAMES_PER_S.items()][: job.limit], 1):
                report_progress("speaking", number, 3)
                took_s, peak_mb = animate_once(avatar, voices[SECONDS], output, "--size", str(size))
                found |= {f"{size}_command_s": took_s, f"{size}_peak_mb": peak_mb}
                rate = SECONDS * SPEC.fps / took_s
                rows.append(at_least(f"{name}, {size} px: frames/s, process start to file", rate, wanted))
                rows.append(at_most(f"{name}, {size} px: peak memory, MB", peak_mb, PEAK_MB))
            growth = found["512_peak_mb"] / short_mb
            rows.append(at_most(f"{name}: memory of a minute over that of a quarter", growth, GROWTH))
            found["load_after"] = os.getloadavg()[0]
    return Finding(rows=rows, details=details)


def _avatars(job: TargetJob) -> list[Path]:
    if job.weights is None:
        stored = [ref.folder for ref in list_weights() if is_avatar(ref.folder)]
        chosen = [folder for folder in stored if read_card(folder)["system"] == SPEC.name][:1]
    else:
        names = [name.strip() for name in job.weights.split(",")]
        chosen = [find_avatar(name) or Path(name).expanduser() for name in names]
    missing = [folder for folder in chosen if not is_avatar(folder)]
    if missing or not chosen:
        what = f"{missing[0]} is no avatar" if missing else f"the store has no avatar of {SPEC.name}"
        raise UsageError(f"{what}; name folders that talkingface fit made with --weights, with commas")
    return chosen
