"""The whole `animate` command, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.core.device import num_cores
from talkingface.core.errors import TalkingFaceError
from talkingface.core.samples import sample
from talkingface.core.timing import num_samples
from talkingface.core.types import check_number

_RATE_HZ = 48000
SHORTEST_S, LONGEST_S = 0.1, 86_400.0
SMALLEST_PX, LARGEST_PX = 64, 8192


def measure(seconds: float, face: str | None, speech: str | None, size: int, **options: str | None) -> dict[str, Any]:
    """Animate `face` with `seconds` of speech (repeated as needed) and return the figures.

    `command_s` runs from process start to the finished file; `frames_per_s` is frames over that; `peak_memory_mb` is of
    that process. `options`: system, weights, device. Raises what the command reports.
    """
    check_number("seconds", seconds, SHORTEST_S, LONGEST_S)
    check_number("size", size, SMALLEST_PX, LARGEST_PX, whole=True)
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
