"""Sound against picture in finished files: clicks that sound when frames light up."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.targets import Finding, TargetJob, at_most
from talkingface.core.errors import TalkingFaceError
from talkingface.core.progress import report_progress
from talkingface.core.timing import sample_of_frame

FPS = (Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60))
SOUND_HZ = (8000, 16000, 22050, 44100, 48000)
LONG_S = 3600
OFFSET_MS, DRIFT_MS_PER_H = 1.0, 1.0
HEARD_HZ = 48000


def muxing(job: TargetJob) -> Finding:
    """Clicks that sound when frames light up, at every rate of picture and sound; an hour of them with `--long`."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        matrix = list(product(FPS, SOUND_HZ))[: job.limit]
        for number, (fps, rate_hz) in enumerate(matrix):
            report_progress("rates", number, len(matrix))
            offsets = click_offsets(Path(folder), fps, rate_hz, 12)
            found[f"{float(fps):.2f} fps, {rate_hz} Hz"] = float(np.abs(list(offsets.values())).max())
        rows = [at_most("click offset, worst of the matrix, ms", max(found.values()), OFFSET_MS)]
        drift = None
        if job.long:
            offsets = click_offsets(Path(folder), Fraction(30000, 1001), 44100, LONG_S)
            found["60 min"] = offsets
            times, values = np.array(list(offsets)), np.array(list(offsets.values()))
            rows.append(at_most("click offset over 60 min, worst, ms", float(np.abs(values).max()), OFFSET_MS))
            drift = float(abs(np.polyfit(times, values, 1)[0]) * 3600)
        rows.append(at_most("drift, ms/h (measured with --long)", drift, DRIFT_MS_PER_H))
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
    with VideoWriter(output, (64, 48), fps, sound=voice) as writer:
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
        while near is not None and near * HEARD_HZ < begin + len(samples) - HEARD_HZ // 4:
            first = max(0, round((near - 0.1) * HEARD_HZ) - begin)
            part = np.abs(samples[first : first + HEARD_HZ // 5])
            k = int(np.clip(part.argmax(), 1, len(part) - 2))
            a, b, c = (float(v) for v in part[k - 1 : k + 2])
            bend = a - 2 * b + c
            shift = 0.5 * (a - c) / bend if bend else 0.0
            found.append((begin + first + k + shift) / HEARD_HZ)
            near = next(wanted, None)
    return found


def _overlapping(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, samples) of the file's sound in pieces of eight seconds, sharing a second with the next."""
    from talkingface.audio.read import stream_audio

    held, begin = np.zeros(0, np.float32), 0
    for block in stream_audio(path, HEARD_HZ, 8 * HEARD_HZ):
        held = np.concatenate([held, block])
        yield begin, held
        begin += max(0, len(held) - HEARD_HZ)
        held = held[-HEARD_HZ:]
    yield begin, np.concatenate([held, np.zeros(HEARD_HZ, np.float32)])
