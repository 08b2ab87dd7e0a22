"""Facts for a report: the finished result and the machine that made it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from talkingface import __version__
from talkingface.core.device import num_cores
from talkingface.core.errors import TalkingFaceError

MEASURED_S = 60.0
MIN_CORRELATION = 0.2


def measure_offset(path: Path) -> dict[str, Any]:
    """How late the mouth is against the sound in a finished video, by tracking (the first minute of) it.

    `audio_mouth_offset_ms` and the correlation there; the offset is None, with the reason, where it cannot be measured.
    """
    from talkingface.audio.read import read_audio
    from talkingface.clips.tracked import track_clip
    from talkingface.metrics.mouth import mouth_measures
    from talkingface.metrics.sync import mouth_offset

    try:
        tracked = track_clip(path, end_s=MEASURED_S, stage=None, cached=False)
        fps, track = float(tracked.clip.info.fps), tracked.track
        samples = read_audio(path).samples[0][: round(MEASURED_S * 16000)]
    except TalkingFaceError as error:
        return {"audio_mouth_offset_ms": None, "audio_mouth_offset_reason": str(error)}
    offset_s, correlation = mouth_offset(mouth_measures(track.landmarks)[:, 0], samples, fps)
    if correlation < MIN_CORRELATION:
        reason = f"mouth and loudness hardly go together (correlation {correlation:.2f})"
        return {"audio_mouth_offset_ms": None, "audio_mouth_offset_reason": reason}
    return {"audio_mouth_offset_ms": round(1000 * offset_s, 1), "audio_mouth_correlation": round(correlation, 3)}


def versions() -> dict[str, str]:
    """Versions of this toolkit, of Python and of the packages that decide the result."""
    found = {
        "talkingface": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {os.cpu_count()} cores",
    }
    for package in ("torch", "numpy", "opencv-contrib-python-headless", "av", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Processor, cores, versions and the commit of the checkout (None for an installed package)."""
    return {"processor": _processor(), "cores": num_cores(), "versions": versions(), "commit": _commit()}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:  # git is not installed
        return None
    return done.stdout.strip() or None
