"""What hearing costs: `bench --what ear`. Speech to motion in processes of their own, on one thread.

Times are the processor's, and the best of five runs counts: other work on the machine shows as little as it can.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.motion.speaking import delays
from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most
from talkingface.apps.bench.checkout import ROOT
from talkingface.core.errors import TalkingFaceError

SECONDS = 30
RUNS = 5
FASTER_THAN_SPEECH = 40.0
START_BEFORE_S, START_MORE_S = 0.08, 0.15
"""What the first motion of a loaded system took with networks on log-mel bands (two cores, AVX-512), and how much more
is allowed."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def ear(job: TargetJob) -> Finding:
    """Seconds of speech that become motion in a second of one core, and a process's start-up to its first motion."""
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for delay in delays():
        runs = [run_once(job.weights, delay) for _ in range(RUNS)]
        details[delay] = runs
        least = {key: min(run[key] for run in runs) for key in ("start_s", "speech_s")}
        most = {key: max(run[key] for run in runs) for key in ("encoder_times", "times")}
        rows.append(at_least(f"{delay}: speech encoder, times real time", most["encoder_times"], FASTER_THAN_SPEECH))
        rows.append(Row(name=f"{delay}: speech to motion, times real time", value=most["times"]))
        limit = START_BEFORE_S + START_MORE_S
        rows.append(at_most(f"{delay}: from a loaded system to the first motion, s", least["speech_s"], limit))
        rows.append(Row(name=f"{delay}: from process start to it, s", value=least["start_s"]))
    return Finding(rows=rows, details=details)


def run_once(weights: str | None, delay: str) -> dict[str, float]:
    """The figures of one process. Raises TalkingFaceError with what it says when it fails."""
    environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
    paths = [str(ROOT), str(ROOT / "src"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    command = [sys.executable, "-m", "benchmarks.motion.ear_process", str(SECONDS), delay, weights or ""]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise TalkingFaceError((done.stderr.strip().splitlines() or ["the measuring process failed"])[-1])
    return json.loads(done.stdout.splitlines()[-1])
