"""How long after its own sound a picture is there, when speech comes piece by piece in real time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob, at_most
from talkingface import api
from talkingface.audio.read import stream_audio
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample

RATE_HZ, PIECE = 16000, 320  # pieces of 20 ms
SECONDS = 20.0
P50_MS, P95_MS = 150.0, 190.0
RUNS = ((512, "low"), (256, "low"), (1280, "low"), (512, "best"))
"""Longest side in pixels and delay; the first has a target."""


@dataclass(slots=True)
class Microphone:
    """`voice` float32 [N] at 16 kHz in pieces, each at the time at which its last sample is spoken, as a sound card
    gives it; a reader that is late gets what waits at once."""

    voice: np.ndarray
    started_s: float = field(default=0.0, init=False)
    """When the first sample is spoken, by `time.perf_counter`."""
    is_over: bool = field(default=False, init=False)

    def pieces(self) -> Iterator[np.ndarray]:
        """To be read once."""
        self.started_s = time.perf_counter()
        for first in range(0, len(self.voice), PIECE):
            due = self.started_s + (first + PIECE) / RATE_HZ
            time.sleep(max(0.0, due - time.perf_counter()))
            yield self.voice[first : first + PIECE]
        self.is_over = True


def live(job: TargetJob) -> Finding:
    """Delay of pictures behind the beginning of their own sound, and processor cores used: the shipped portrait and
    voice, 20 ms pieces for 20 s, everything loaded and drawn with once before."""
    voice = np.concatenate(list(stream_audio(sample("speech"), RATE_HZ)))
    voice = np.resize(voice, int(SECONDS * RATE_HZ))
    rows: list[Row] = []
    details: dict[str, Any] = {"load_before": os.getloadavg()[0], "piece_ms": 1000 * PIECE / RATE_HZ}
    for number, (size, delay) in enumerate(RUNS[: job.limit]):
        report_progress("live runs", number, len(RUNS[: job.limit]))
        found = measure(voice, size, delay, job.weights)
        details[f"{size} {delay}"] = found
        for name, limit in (("p50", P50_MS), ("p95", P95_MS), ("max", None)):
            what = f"{size} px, {delay}: delay {name}, ms"
            value = found[f"{name}_ms"]
            rows.append(Row(name=what, value=value) if number or limit is None else at_most(what, value, limit))
        rows.append(Row(name=f"{size} px, {delay}: processor cores used", value=found["cores"]))
    details["load_after"] = os.getloadavg()[0]
    return Finding(rows=rows, details=details)


def measure(voice: np.ndarray, size: int, delay: str, weights: str | None) -> dict[str, float]:
    """Figures of one run: delays of the frames that came before the voice was over."""
    face = api.fit(sample("portrait"), size=size, weights=weights)
    for _ in api.animate(face, iter([voice[:RATE_HZ]]), size=size, delay=delay):
        pass
    microphone, delays_s = Microphone(voice), []
    made = api.animate(face, microphone.pieces(), size=size, delay=delay)
    used_s, now = time.process_time(), 0.0
    for frames in made:
        now = time.perf_counter()
        if microphone.is_over:
            break
        delays_s += [now - microphone.started_s - (frames.start + k) / made.fps for k in range(len(frames))]
    used_s = time.process_time() - used_s
    p50, p95, most = np.percentile(delays_s, (50, 95, 100)) * 1000
    return {
        "p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1), "max_ms": round(float(most), 1),
        "cores": round(used_s / (now - microphone.started_s), 2), "frames": len(delays_s),
    }  # fmt: skip
