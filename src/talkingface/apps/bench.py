"""`talkingface bench`: the whole command in a process of its own, and with `--what` every figure the docs promise."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.api.report import machine
from talkingface.core.device import num_cores
from talkingface.core.errors import InputError, TalkingFaceError, UsageError
from talkingface.core.timing import num_samples

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
_RATE_HZ = 48000

TARGETS = {
    "mouth": "talkingface.apps.bench_motion:mouth",
    "head": "talkingface.apps.bench_motion:head",
    "silence": "talkingface.apps.bench_motion:silence",
    "closures": "talkingface.apps.bench_motion:closures",
    "picture": "talkingface.apps.bench_portrait:picture",
    "sync": "talkingface.apps.bench_sync:sync",
    "avatar": "talkingface.apps.bench_avatar:avatar",
    "reencode": "talkingface.apps.bench_reencode:reencode",
    "robustness": "talkingface.apps.bench_faces:measure_faces",
    "fit3d": "talkingface.apps.bench_fit3d:fit3d",
    "speed": "talkingface.apps.bench_media:speed",
    "memory": "talkingface.apps.bench_media:memory",
    "muxing": "talkingface.apps.bench_media:muxing",
    "headpose": "talkingface.apps.bench_headpose:headpose",
    "control": "talkingface.apps.bench_control:control",
    "pcavs": "talkingface.apps.bench_pcavs:pcavs",
}
"""What `bench --what` can measure, each a function from a `TargetJob` to a `Finding`."""


def sample(stem: str) -> Path:
    """The shipped sample "portrait" or "speech". Raises InputError if it is not there."""
    found = sorted(SAMPLES.glob(f"{stem}.*"))
    if not found:
        raise InputError(f"the shipped sample {stem!r} is not there; name a file")
    return found[0]


def measure(seconds: float, face: str | None, speech: str | None, size: int, **options: str | None) -> dict[str, Any]:
    """Animate `face` with `seconds` of speech (repeated as needed) and return the figures.

    `command_s` runs from process start to the finished file; `frames_per_s` is frames over that; `peak_memory_mb` is of
    that process. `options`: system, weights, device. Raises what the command reports.
    """
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        voice, output, report = (Path(folder) / name for name in ("speech.wav", "out.mp4", "report.json"))
        write_speech(speech or sample("speech"), seconds, voice)
        command = [sys.executable, "-m", "talkingface.apps.cli", "animate", str(face or sample("portrait")), str(voice)]
        command += ["-o", str(output), "--size", str(size), "--report", str(report)]
        for name, value in options.items():
            command += [] if value is None else [f"--{name}", value]
        started = time.time()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise TalkingFaceError(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
        command_s = output.stat().st_mtime - started  # the figures for the report are measured after that
        found = json.loads(report.read_text(encoding="utf-8"))
    found.pop("output")
    return {
        "command_s": round(command_s, 2),
        "frames_per_s": round(found["frames"] / command_s, 1),
        "cores": num_cores(),
        "seconds": seconds,
        "size": size,
        "in_process": found,
    }


def write_speech(source: str | Path, seconds: float, target: Path) -> None:
    """Write `seconds` of the speech in `source`, repeated as needed, as 16-bit mono WAV."""
    import wave

    from talkingface.audio.read import read_audio

    pcm = (read_audio(source, _RATE_HZ).samples[0] * 32767).astype("<i2")
    left = num_samples(seconds, _RATE_HZ)
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        while left > 0:
            file.writeframes(np.ascontiguousarray(pcm[:left]).tobytes())
            left -= len(pcm)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetJob:
    """What to measure on: `data` (a folder with manifest.csv), `weights` (None: the default), at most `limit` items
    (None: all), also what takes an hour (`long`), pictures to look at (`sheets`, a folder)."""

    data: Path | None
    weights: str | None = None
    limit: int | None = None
    long: bool = False
    sheets: Path | None = None

    @property
    def folder(self) -> Path:
        """`data`, checked. Raises UsageError or InputError."""
        if self.data is None:
            raise UsageError("this is measured on a data folder; name it with --data")
        if not (self.data / "manifest.csv").is_file():
            raise InputError(f"{self.data} has no manifest.csv; give the folder of development data")
        return self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure beside its target. `met` None: there is no target, it is shown for judging the others."""

    name: str
    value: float | None
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The rows of one kind of measurement, and what they were made from (JSON-ready)."""

    rows: list[Row]
    details: dict[str, Any] = field(default_factory=dict)


def measure_targets(what: str, job: TargetJob) -> dict[str, Any]:
    """Measure one kind of target: its rows and details, with machine, versions, commit, weights and date.

    Raises UsageError for an unknown kind, and what the measurement raises. Print the result with `target_table`.
    """
    if what not in TARGETS:
        raise UsageError(f"cannot measure {what!r}; name one of {', '.join(TARGETS)}")
    module, function = TARGETS[what].split(":")
    started = time.time()
    found: Finding = getattr(import_module(module), function)(job)
    return {
        "what": what,
        "rows": [asdict(row) for row in found.rows],
        "details": found.details,
        "weights": job.weights or "default",
        "limit": job.limit,
        "date": time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(started)),
        "minutes": round((time.time() - started) / 60, 2),
        **machine(),
    }


def target_table(figures: dict[str, Any]) -> str:
    """The rows of `measure_targets` as text: figure, target, and whether it is met."""
    lines = [("what", "measured", "target", "")]
    for row in figures["rows"]:
        value = "not measured" if row["value"] is None else f"{row['value']:.4g}"
        verdict = "" if row["met"] is None else "met" if row["met"] else "NOT MET"
        lines.append((row["name"], value, row["target"], verdict))
    widths = [max(len(line[k]) for line in lines) for k in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
