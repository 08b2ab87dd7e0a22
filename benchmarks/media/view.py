"""How many pictures a second the page of `talkingface view` gets while the mouse turns an avatar."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import os
import re
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np

import talkingface
from benchmarks.targets import Finding, Row, TargetJob, at_least
from talkingface.core import registry
from talkingface.core.errors import UsageError
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.core.weights import is_avatar, list_weights, read_card

FRAMES_PER_S = 20.0
WARM_S, SECONDS = 1.0, 8.0
REQUESTS = 3
"""That a page has open at most."""
TURN, TURN_S = 0.35, 2.5
"""The mouse swings the head by so many radians to either side, in so many seconds."""
SIZES = (512, 256)
"""Longest side in pixels; the first has a target."""


def view(job: TargetJob) -> Finding:
    """Pictures a second over HTTP from this machine to itself, at the newest yaw always, while the shipped voice plays:
    drawing, mark, JPEG and transport, but no browser. `job.weights` names the avatar; else the first in the store."""
    avatar = job.weights or _first_avatar()
    rows: list[Row] = []
    details: dict[str, Any] = {"avatar": avatar, "load_before": os.getloadavg()[0]}
    for number, size in enumerate(SIZES[: job.limit]):
        report_progress("turning", number, len(SIZES[: job.limit]))
        found = details[str(size)] = measure(avatar, size)
        what = f"{size} px, under the mouse: frames/s"
        rate = found["frames_per_s"]
        rows.append(Row(name=what, value=rate) if number else at_least(what, rate, FRAMES_PER_S))
        rows.append(Row(name=f"{size} px: drawing p50, ms", value=found["draw_p50_ms"]))
        rows.append(Row(name=f"{size} px: processor cores used", value=found["cores"]))
    details["load_after"] = os.getloadavg()[0]
    return Finding(rows=rows, details=details)


def measure(avatar: str, size: int, seconds: float = SECONDS) -> dict[str, float]:
    """Figures of `seconds` under the mouse."""
    numbers, drawn_ms, lengths = itertools.count(), [], []
    with talkingface.view(avatar, sample("speech"), size=size) as page:
        fps, frames = page.viewing.fps, page.viewing.num_frames
        started_s = time.perf_counter()
        counted_s, end_s = started_s + WARM_S, started_s + WARM_S + seconds

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
            while (now_s := time.perf_counter()) < end_s:
                passed_s = now_s - started_s
                yaw = TURN * math.sin(2 * math.pi * passed_s / TURN_S)
                wish = {"page": "a", "number": next(numbers), "frame": int(passed_s * fps) % frames,
                        "view": {"yaw": yaw}}  # fmt: skip
                connection.request("POST", urlsplit(page.address).path + "frame", json.dumps(wish))
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200 and counted_s <= time.perf_counter() < end_s:
                    timing = re.search(r"draw;dur=([\d.]+)", answer.headers["Server-Timing"])
                    drawn_ms.append(float(timing[1]) if timing else math.nan)
                    lengths.append(len(body))
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(REQUESTS)]
        for thread in threads:
            thread.start()
        time.sleep(WARM_S)
        used_s = time.process_time()
        for thread in threads:
            thread.join()
        used_s = time.process_time() - used_s
    return {
        "frames_per_s": len(drawn_ms) / seconds,
        "draw_p50_ms": float(np.median(drawn_ms)) if drawn_ms else math.nan,
        "cores": used_s / seconds,
        "jpeg_kb": float(np.mean(lengths)) / 1000 if lengths else math.nan,
    }


def _first_avatar() -> str:
    """An avatar of the store that can be viewed. Raises UsageError where there is none."""
    for stored in list_weights():
        if is_avatar(stored.folder) and registry.get_spec(read_card(stored.folder)["system"]).viewable:
            return stored.name
    raise UsageError("no avatar of the store can be viewed; name the folder of one with --weights")
