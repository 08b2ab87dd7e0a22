"""Measured from outside, on whole commands and finished files: speed, memory, and sound against picture."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.apps.bench import Finding, Row, TargetJob, measure, sample
from talkingface.core.errors import InputError, TalkingFaceError
from talkingface.core.progress import tell
from talkingface.core.timing import num_samples, sample_of_frame

RUNS = 3
SPEED_S = 60.0
MEMORY_S = (60.0, 1800.0)
FRAMES_PER_S, FIRST_FRAME_LOADED_S, FIRST_FRAME_START_S = 100.0, 1.0, 4.0
PEAK_MB, PEAK_SPREAD = 1200.0, 0.05
FPS = (Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60))
SOUND_HZ = (8000, 16000, 22050, 44100, 48000)
LONG_S = 3600
OFFSET_MS, DRIFT_MS_PER_H = 1.0, 1.0
_HEARD_HZ = 48000
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
            Row(
                name="frames/s, process start to file",
                value=rate,
                target=f">= {FRAMES_PER_S:g}",
                met=rate >= FRAMES_PER_S,
            ),
            _at_most("first frame, once loaded, s", loaded, FIRST_FRAME_LOADED_S),
            _at_most("first frame, from process start, s", from_start, FIRST_FRAME_START_S),
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


def write_voice(data: Path, seconds: float, target: Path) -> None:
    """Write `seconds` of the speech files of a data folder one after the other, from the start again if need be.

    Raises InputError when there are none.
    """
    from talkingface.audio.read import read_audio

    files = sorted(path for path in (data / "speech").glob("*.*") if path.suffix in (".wav", ".mp3", ".flac"))
    if not files:
        raise InputError(f"{data / 'speech'} holds no sound files; give the folder of development data")
    left = num_samples(seconds, _HEARD_HZ)
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_HEARD_HZ)
        for path in cycle(files):
            pcm = (read_audio(path, _HEARD_HZ).samples[0, :left] * 32767).astype("<i2")
            file.writeframes(pcm.tobytes())
            left -= len(pcm)
            if left <= 0:
                return


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
            peaks[f"{seconds:g}"] = round(_peak_mb(face, voice, Path(folder) / "out.mp4", job.weights), 1)
    rows = [_at_most(f"peak memory, {float(s) / 60:g} min of speech, MB", peak, PEAK_MB) for s, peak in peaks.items()]
    if len(peaks) > 1:
        spread = max(peaks.values()) / min(peaks.values()) - 1
        rows.append(_at_most("peaks apart, share", spread, PEAK_SPREAD))
    return Finding(rows=rows, details={"peak_mb_by_seconds": peaks})


def _peak_mb(face: Path, voice: Path, output: Path, weights: str | None) -> float:
    """Peak of `animate` without a report, whose measuring would count too, in megabytes (10^6 bytes)."""
    command = [sys.executable, "-m", "talkingface.apps.cli", "animate", str(face), str(voice), "-o", str(output)]
    command += ["--weights", weights] if weights else []
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        # the kernel's own figure for this one child: sampling would miss short peaks
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise TalkingFaceError(said.read().strip().splitlines()[-1].removeprefix("error: "))
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def muxing(job: TargetJob) -> Finding:
    """Clicks that sound when frames light up, at every rate of picture and sound; an hour of them with `--long`."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        matrix = list(product(FPS, SOUND_HZ))[: job.limit]
        for number, (fps, rate_hz) in enumerate(matrix):
            tell("rates", number, len(matrix))
            offsets = click_offsets(Path(folder), fps, rate_hz, 12)
            found[f"{float(fps):.2f} fps, {rate_hz} Hz"] = float(np.abs(list(offsets.values())).max())
        rows = [_at_most("click offset, worst of the matrix, ms", max(found.values()), OFFSET_MS)]
        drift = None
        if job.long:
            offsets = click_offsets(Path(folder), Fraction(30000, 1001), 44100, LONG_S)
            found["60 min"] = offsets
            times, values = np.array(list(offsets)), np.array(list(offsets.values()))
            rows.append(_at_most("click offset over 60 min, worst, ms", float(np.abs(values).max()), OFFSET_MS))
            drift = float(abs(np.polyfit(times, values, 1)[0]) * 3600)
        rows.append(_at_most("drift, ms/h (measured with --long)", drift, DRIFT_MS_PER_H))
    return Finding(rows=rows, details={"offsets_ms": found})


def click_offsets(folder: Path, fps: Fraction, rate_hz: int, seconds: int) -> dict[float, float]:
    """How late each click sounds after its frame lights up in a written file: {seconds: milliseconds}."""
    from talkingface.video.write import VideoWriter

    voice, output = folder / "clicks.wav", folder / "clicks.mp4"
    total = int(seconds * fps)
    step = total // 6 if seconds < 60 else total // 30
    lit = list(range(step // 2, total - 8, step))
    _write_clicks(voice, [sample_of_frame(k, fps, rate_hz) for k in lit], int(seconds * rate_hz), rate_hz)
    dark, bright = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    with VideoWriter(output, (64, 48), fps, sound=voice, synthetic=None) as writer:
        for k in range(total):
            writer.write(bright if k in lit else dark)
    seen, heard = _lit_times(output), _heard_times(output, [float(k / fps) for k in lit])
    if len(seen) != len(lit):
        raise TalkingFaceError(f"{len(lit)} frames were lit, {len(seen)} were found in the file")
    # a click starts on a whole sample at or before its frame: that part is not the file's doing
    given = [sample_of_frame(k, fps, rate_hz) / rate_hz - float(k / fps) for k in lit]
    return {
        round(at, 3): round(1000 * (sound - at - own), 4) for at, sound, own in zip(seen, heard, given, strict=True)
    }


def _write_clicks(path: Path, at: list[int], total: int, rate_hz: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        for begin in range(0, total, 1 << 20):
            block = np.zeros(min(1 << 20, total - begin), "<i2")
            inside = [k - begin for k in at if begin <= k < begin + len(block)]
            block[inside] = 30000
            file.writeframes(block.tobytes())


def _lit_times(path: Path) -> list[float]:
    from talkingface.video.read import read_frames

    return [frame.time_s for frame in read_frames(path) if frame.rgb.mean() > 128]


def _heard_times(path: Path, expected_s: list[float]) -> list[float]:
    """When the clicks near `expected_s` sound: the peak, between samples by a parabola through three."""
    found, wanted = [], iter(expected_s)
    near = next(wanted, None)
    for begin, samples in _overlapping(path):
        while near is not None and near * _HEARD_HZ < begin + len(samples) - _HEARD_HZ // 4:
            first = max(0, round((near - 0.1) * _HEARD_HZ) - begin)
            part = np.abs(samples[first : first + _HEARD_HZ // 5])
            k = int(np.clip(part.argmax(), 1, len(part) - 2))
            a, b, c = (float(v) for v in part[k - 1 : k + 2])
            bend = a - 2 * b + c
            shift = 0.5 * (a - c) / bend if bend else 0.0
            found.append((begin + first + k + shift) / _HEARD_HZ)
            near = next(wanted, None)
    return found


def _overlapping(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, samples) of the file's sound in pieces of eight seconds, sharing a second with the next."""
    from talkingface.audio.read import stream_audio

    held, begin = np.zeros(0, np.float32), 0
    for block in stream_audio(path, _HEARD_HZ, 8 * _HEARD_HZ):
        held = np.concatenate([held, block])
        yield begin, held
        begin += max(0, len(held) - _HEARD_HZ)
        held = held[-_HEARD_HZ:]
    yield begin, np.concatenate([held, np.zeros(_HEARD_HZ, np.float32)])


def _at_most(name: str, value: float | None, limit: float) -> Row:
    return Row(
        name=name,
        value=None if value is None else round(value, 4),
        target=f"<= {limit:g}",
        met=None if value is None else value <= limit,
    )
