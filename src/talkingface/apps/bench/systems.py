"""`bench --systems --sizes`: speed of each system at each size; `bench --compare`: two programs, run by turns."""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from talkingface.apps.bench.command import LARGEST_PX, LONGEST_S, SHORTEST_S, SMALLEST_PX, measure, write_speech
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.core.samples import sample
from talkingface.core.types import check_number

SHORT = 4
"""Growth is measured against speech so many times shorter."""
STAGE_S = 8.0
LEAST_PAIRS = 3
CONFIDENCE = 0.95
PLACES = ("{face}", "{speech}", "{output}", "{size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is animated: `seconds` of `speech` (repeated as needed) by `face`; None: the shipped samples."""

    seconds: float
    face: str | None = None
    speech: str | None = None
    weights: str | None = None
    device: str = "auto"


def measure_systems(systems: Sequence[str], sizes: Sequence[int], load: Load) -> dict[str, Any]:
    """A row for each system and size: speed, first frame, memory, growth with length, and seconds by stage.

    Each is run in processes of its own, once with `load.seconds` of speech and once with a quarter of that. Raises
    what the commands report.
    """
    check_number("seconds", load.seconds, 0, LONGEST_S)
    for size in sizes:
        check_number("size", size, SMALLEST_PX, LARGEST_PX, whole=True)
    if load.seconds < SHORT:
        raise UsageError(f"growth with length needs at least {SHORT} s of speech; give more --seconds")
    return {"rows": [_row(system, size, load) for system in systems for size in sizes]}


def _row(system: str, size: int, load: Load) -> dict[str, Any]:
    options: dict[str, str | None] = {"system": system, "weights": load.weights, "device": load.device}
    short_s = load.seconds / SHORT
    short = measure(short_s, load.face, load.speech, size, **options)
    whole = measure(load.seconds, load.face, load.speech, size, **options)
    more_s = load.seconds - short_s
    peaks = [run["in_process"]["peak_memory_mb"] for run in (short, whole)]
    return {
        "system": system,
        "size": size,
        "seconds": load.seconds,
        "frames_per_s": whole["frames_per_s"],
        "real_time_factor": round(whole["command_s"] / load.seconds, 4),
        "first_frame_s": whole["in_process"]["first_frame_s"],
        "peak_memory_mb": None if peaks[1] is None else round(peaks[1], 1),
        "growth": {
            "s_per_s": round((whole["command_s"] - short["command_s"]) / more_s, 4),
            "mb_per_min": None if None in peaks else round((peaks[1] - peaks[0]) / more_s * 60, 2),
        },
        "stages": measure_stages(system, size, load),
        "weights": whole["in_process"]["weights"],
        "short": short,
        "whole": whole,
    }


def measure_stages(system: str, size: int, load: Load) -> dict[str, Any]:
    """Seconds of each stage by itself, one after the other, in this process: `load_s` and `fit_s` once, and
    milliseconds a frame of motion, drawing and encoding for at most eight seconds of speech."""
    from talkingface import api

    options: dict[str, Any] = {"system": system, "weights": load.weights, "device": load.device}
    clock = [time.perf_counter()]
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        voice = Path(folder) / "speech.wav"
        write_speech(load.speech or sample("speech"), min(load.seconds, STAGE_S), voice)
        api.load(system, weights=load.weights, device=load.device)
        clock.append(time.perf_counter())
        avatar = api.fit(load.face or sample("portrait"), size=size, **options)
        clock.append(time.perf_counter())
        motion = api.motion(voice, face=avatar, **options)
        clock.append(time.perf_counter())
        pictures = [piece.rgb[:1] for piece in api.render(avatar, motion, **options)]
        clock.append(time.perf_counter())
        _encode(pictures, len(motion), motion.fps, Path(folder) / "out.mp4")
        clock.append(time.perf_counter())
    load_s, fit_s, *stages = np.diff(clock)
    names = ("motion", "drawing", "encoding")
    per_frame = {f"{name}_ms": round(1000 * s / len(motion), 3) for name, s in zip(names, stages, strict=True)}
    return {"load_s": round(float(load_s), 3), "fit_s": round(float(fit_s), 3), **per_frame, "frames": len(motion)}


def _encode(pictures: list[np.ndarray], count: int, fps: float, path: Path) -> None:
    """Encode `count` frames made of a few pictures by turns."""
    from talkingface.video.write import VideoWriter

    size = (pictures[0].shape[2], pictures[0].shape[1])
    with VideoWriter(path, size, fps) as writer:
        for number in range(count):
            writer.write(pictures[number % len(pictures)][0])


def systems_table(figures: dict[str, Any]) -> str:
    """The rows of `measure_systems` as text."""
    from talkingface.apps.evaluation.table import Table, shown

    head = ("system", "size", "frames/s", "real time", "first frame, s", "memory, MiB", "s per s", "MiB per min",
            "motion, ms", "drawing, ms", "encoding, ms")  # fmt: skip
    rows = []
    for row in figures["rows"]:
        stages = [row["stages"][f"{name}_ms"] for name in ("motion", "drawing", "encoding")]
        values = [row["size"], row["frames_per_s"], row["real_time_factor"], row["first_frame_s"],
                  row["peak_memory_mb"], row["growth"]["s_per_s"], row["growth"]["mb_per_min"], *stages]  # fmt: skip
        rows.append((row["system"], *map(shown, values)))
    return Table(title="", head=head, rows=rows).text()


def compare(command: str, size: int, pairs: int, load: Load, system: str | None) -> dict[str, Any]:
    """Time this program's `animate` (A) and `command` (B) by turns: A B, B A, A B, ...

    `command` holds {face}, {speech}, {output} and optionally {size}. `ratio`: B's seconds over A's, the geometric
    mean over pairs, with its 95 % interval (Student's t of the logarithms) and the ratios themselves; the first pair
    warms both up and does not count. Raises UsageError, and TalkingFaceError when one of the two fails.
    """
    if "{output}" not in command:
        raise UsageError("the command to compare with must name {output}, and mostly {face} and {speech} too")
    check_number("seconds", load.seconds, SHORTEST_S, LONGEST_S)
    check_number("size", size, SMALLEST_PX, LARGEST_PX, whole=True)
    if pairs < LEAST_PAIRS:
        raise UsageError(f"a spread needs at least {LEAST_PAIRS} pairs of runs")
    own = [sys.executable, "-m", "talkingface.apps.cli", "animate", "{face}", "{speech}", "-o", "{output}"]
    own += ["--size", "{size}", "--device", load.device]
    for name, value in (("system", system), ("weights", load.weights)):
        own += [] if value is None else [f"--{name}", value]
    runs = list(_runs(own, shlex.split(command), size, pairs + 1, load))[1:]
    logs = np.log([b / a for a, b in runs])
    room = student.ppf(0.5 + CONFIDENCE / 2, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
    middle = float(logs.mean())
    return {
        "command": command,
        "size": size,
        "seconds": load.seconds,
        "ratio": round(math.exp(middle), 4),
        "interval": [round(math.exp(middle - room), 4), round(math.exp(middle + room), 4)],
        "ratios": [round(math.exp(value), 4) for value in logs],
        "a_s": [round(a, 3) for a, _ in runs],
        "b_s": [round(b, 3) for _, b in runs],
    }


def _runs(own: Sequence[str], other: Sequence[str], size: int, pairs: int, load: Load) -> Iterator[tuple[float, float]]:
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        voice, output = Path(folder) / "speech.wav", Path(folder) / "out.mp4"
        write_speech(load.speech or sample("speech"), load.seconds, voice)
        found = (str(load.face or sample("portrait")), str(voice), str(output), str(size))
        filled = [[_fill(word, found) for word in command] for command in (own, other)]
        for number in range(pairs):
            seconds = [0.0, 0.0]
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                output.unlink(missing_ok=True)
                seconds[which] = _time(filled[which], output)
            yield seconds[0], seconds[1]


def _fill(word: str, values: Sequence[str]) -> str:
    for place, value in zip(PLACES, values, strict=True):
        word = word.replace(place, value)
    return word


def _time(command: Sequence[str], output: Path) -> float:
    started = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise TalkingFaceError(f"cannot run {command[0]}: {error.strerror}") from error
    seconds = time.perf_counter() - started
    if done.returncode or not output.exists():
        said = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode} and made no {output.name}"]
        raise TalkingFaceError(f"{shlex.join(command[:4])} ... failed: {said[-1].removeprefix('error: ')}")
    return seconds


def compare_table(figures: dict[str, Any]) -> str:
    """The result of `compare` in a sentence."""
    low, high = figures["interval"]
    a, b = (float(np.median(figures[name])) for name in ("a_s", "b_s"))
    return (
        f"this program {a:.2f} s, the other {b:.2f} s (medians of {len(figures['ratios'])}); the other takes "
        f"{figures['ratio']:.3f} times as long, 95 % interval {low:.3f} to {high:.3f}"
    )
