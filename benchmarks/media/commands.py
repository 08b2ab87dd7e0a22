"""Whole commands, measured from outside: speed, the wait for the first picture, memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.data import write_voice
from benchmarks.targets import Finding, TargetJob, at_least, at_most
from talkingface.apps.bench.command import measure
from talkingface.core.errors import TalkingFaceError
from talkingface.core.samples import sample

RUNS = 3
SPEED_S = 60.0
MEMORY_S = (60.0, 1800.0)
FRAMES_PER_S, FIRST_FRAME_LOADED_S, FIRST_FRAME_START_S = 100.0, 1.0, 4.0
PEAK_MB, PEAK_SPREAD = 1200.0, 0.05
_FIRST_FRAMES = """
import sys, time
import talkingface
from talkingface.core.device import tune_allocator
face, speech, weights = sys.argv[1:4]
tune_allocator()
for _ in range(2):
    called = time.time()
    next(iter(talkingface.animate(face, speech, weights=weights or None)))
    print(called, time.time())
"""


def speed(job: TargetJob) -> Finding:
    """The whole command on a minute of speech, median of three runs; and the wait for the first picture."""
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        face, voice = make_photo(Path(folder) / "face.png"), Path(folder) / "speech.wav"
        write_voice(job.folder, SPEED_S, voice)
        count = min(RUNS, job.limit or RUNS)
        runs = [measure(SPEED_S, str(face), str(voice), 512, weights=job.weights) for _ in range(count)]
        waits = [_first_frames(face, voice, job.weights) for _ in range(count)]
    rate = statistics.median(run["frames_per_s"] for run in runs)
    from_start, loaded = (statistics.median(wait[k] for wait in waits) for k in range(2))
    return Finding(
        rows=[
            at_least("frames/s, process start to file", rate, FRAMES_PER_S),
            at_most("first frame, once loaded, s", loaded, FIRST_FRAME_LOADED_S),
            at_most("first frame, from process start, s", from_start, FIRST_FRAME_START_S),
        ],
        details={"runs": runs, "first_frame_start_and_loaded_s": waits, "face": "shipped sample at 512 x 512"},
    )


def make_photo(path: Path, side: int = 512) -> Path:
    """Write the shipped portrait as a square picture of `side` pixels."""
    import cv2

    from talkingface.video.image import read_image, write_image

    rgb = read_image(sample("portrait")).rgb
    most = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - most) // 2, (rgb.shape[1] - most) // 2
    square = rgb[top : top + most, left : left + most]
    write_image(path, cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))
    return path


def _first_frames(face: Path, voice: Path, weights: str | None) -> tuple[float, float]:
    """Seconds to the first picture: from process start, and from the call in a process that made one before."""
    command = [sys.executable, "-c", _FIRST_FRAMES, str(face), str(voice), weights or ""]
    started = time.time()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise TalkingFaceError(done.stderr.strip().splitlines()[-1])
    times = [[float(word) for word in line.split()] for line in done.stdout.splitlines()[-2:]]
    return round(times[0][1] - started, 3), round(times[1][1] - times[1][0], 3)


def memory(job: TargetJob) -> Finding:
    """Peak resident memory of the whole command on a short and a long speech."""
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        face = make_photo(Path(folder) / "face.png")
        for seconds in MEMORY_S[: job.limit]:
            voice = Path(folder) / f"speech{seconds:g}.wav"
            write_voice(job.folder, seconds, voice)
            weights = ["--weights", job.weights] if job.weights else []
            peaks[f"{seconds:g}"] = round(animate_once(face, voice, Path(folder) / "out.mp4", *weights)[1], 1)
    rows = [at_most(f"peak memory, {float(s) / 60:g} min of speech, MB", peak, PEAK_MB) for s, peak in peaks.items()]
    if len(peaks) > 1:
        spread = max(peaks.values()) / min(peaks.values()) - 1
        rows.append(at_most("peaks apart, share", spread, PEAK_SPREAD))
    return Finding(rows=rows, details={"peak_mb_by_seconds": peaks})


def animate_once(face: Path, voice: Path, output: Path, *options: str) -> tuple[float, float]:
    """`animate` without a report, whose measuring would count too: seconds from process start to the finished file, and
    the peak of its memory in megabytes (10^6 bytes)."""
    command = [sys.executable, "-m", "talkingface.apps.cli", "animate", str(face), str(voice), "-o", str(output)]
    with tempfile.TemporaryFile("w+") as said:
        started = time.time()
        process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=said)
        # the kernel's own figure for this one child: sampling would miss short peaks
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise TalkingFaceError(said.read().strip().splitlines()[-1].removeprefix("error: "))
    peak_mb = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return output.stat().st_mtime - started, peak_mb
