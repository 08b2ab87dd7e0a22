"""Content credentials: time of signing and verifying, changed bytes, copies without them."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.targets import Finding, Row, TargetJob, at_most, between
from talkingface import api
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.trust.bom import make_bom
from talkingface.trust.credentials import Statement, sign_result
from talkingface.trust.reading import check_credentials
from talkingface.trust.sidecar import sidecar_of
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter

MINUTE_S = 60.0
PLACES = 200
SIGNING_MS, VERIFY_S, MEMORY_MB = 50.0, 5.0, 30.0
HD = (1280, 720)
_RUNS = 5
_HUGE_BYTES = 5 << 30
_VERIFIER = """
import json, sys, time
from pathlib import Path
from talkingface import verify
started = time.perf_counter()
found = verify(sys.argv[1])
seconds, cpu = time.perf_counter() - started, time.process_time()
# getrusage would count what the process that started this one held
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peak = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)
print(json.dumps({"s": seconds, "cpu_s": cpu, "peak_mb": peak, "exit_code": found.exit_code}))
"""
_SIGNER = """
import sys, time
from pathlib import Path
import talkingface.api.animation, talkingface.video.write
started = time.process_time()
from talkingface.trust.bom import make_bom
from talkingface.trust.credentials import Statement, sign_result
part = Path(sys.argv[1])
sign_result(part, part, Statement(system="portrait", job="0" * 64, bom=make_bom([])))
print(1000 * (time.process_time() - started))
"""


def credentials(job: TargetJob) -> Finding:
    """Signing of a minute at 512 pixels, one byte changed at many places, a copy by packets, verifying at 720p."""
    details: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as name:
        folder = Path(name)
        made = folder / "made.mp4"
        api.animate(sample("portrait"), sample("speech"), size=512, weights=job.weights).save(made)
        rows = [*_signing(folder, made, details), *_tampering(folder, made, job.limit or PLACES, details)]
        rows += [*_copied(folder, made), *_verifying(folder, made, details)]
    return Finding(rows=rows, details=details)


def _statement() -> Statement:
    return Statement(system="portrait", job="0" * 64, bom=make_bom([]))


def _signing(folder: Path, made: Path, details: dict[str, Any]) -> Iterator[Row]:
    plain = repeated(made, folder / "minute.mp4", MINUTE_S)
    times = []
    for number in range(_RUNS + 1):
        report_progress("signing", number, _RUNS + 1)
        part = Path(shutil.copy(plain, folder / "signed.mp4"))
        said = _statement()
        started = time.perf_counter()
        sign_result(part, part, said)
        times.append(1000 * (time.perf_counter() - started))
    details["signing_ms"], details["minute_bytes"] = times, plain.stat().st_size
    yield at_most("signing of a minute at 512 pixels, ms", median(times[1:]), SIGNING_MS)
    first = [float(_printed(_SIGNER, shutil.copy(plain, folder / "signed.mp4"))) for _ in range(_RUNS)]
    details["first_signing_ms"] = first
    yield Row(name="the same, first of a process, with imports: processor time, ms", value=median(first))


def _tampering(folder: Path, made: Path, places: int, details: dict[str, Any]) -> Iterator[Row]:
    beside = folder / "made.mkv"
    with VideoWriter(beside, None, 25, sign=lambda part, target: sign_result(part, target, _statement())) as writer:
        for frame in read_frames(made):
            writer.write(frame.rgb)
    manifest = _manifest_range(made)
    cases = {
        "file": (made, made, range(made.stat().st_size)),
        "manifest": (made, made, range(*manifest)),
        "file beside it": (beside, sidecar_of(beside), range(sidecar_of(beside).stat().st_size)),
        "video beside it": (beside, beside, range(beside.stat().st_size)),
    }
    for name, (path, file, within) in cases.items():
        unseen = _unseen(path, file, random.Random(name).sample(within, min(places, len(within))), name)
        details[f"unseen in the {name}"] = unseen
        yield at_most(f"one byte changed at {places} places of the {name}: still valid", len(unseen), 0)


def _unseen(path: Path, file: Path, places: list[int], name: str) -> list[int]:
    """Places where a changed byte left the credentials of `path` valid."""
    unseen = []
    for number, place in enumerate(places):
        report_progress(f"changing bytes of the {name}", number, len(places))
        with open(file, "r+b") as opened:
            opened.seek(place)
            byte = opened.read(1)[0]
            opened.seek(place)
            opened.write(bytes([byte ^ 1 << place % 8]))
        if check_credentials(path).state in ("valid", "trusted"):
            unseen.append(place)
        with open(file, "r+b") as opened:
            opened.seek(place)
            opened.write(bytes([byte]))
    assert check_credentials(path).state == "trusted"
    return unseen


def _manifest_range(path: Path) -> tuple[int, int]:
    """Where the box of the manifest begins and ends."""
    data = path.read_bytes()
    start = data.index(bytes.fromhex("d8fec3d61b0e483c92975828877ec481")) - 8
    return start, start + int.from_bytes(data[start : start + 4], "big")


def _copied(folder: Path, made: Path) -> Iterator[Row]:
    """A copy by packets, as `ffmpeg -c copy` makes it."""
    copy = repeated(made, folder / "copied.mp4", 1.0)
    gone = check_credentials(copy).state == "none"
    yield between("copied by packets: credentials gone", float(gone), 1, 1)
    found = api.verify(copy)
    yield between("copied by packets: the mark is found", float(found.mark.state == "found"), 1, 1)
    yield between("copied by packets: exit code of verify", found.exit_code, 10, 10)


def _verifying(folder: Path, made: Path, details: dict[str, Any]) -> Iterator[Row]:
    large = folder / "large.mp4"
    with VideoWriter(large, HD, 25) as writer:
        for frame in read_frames(made):
            writer.write(cv2.resize(frame.rgb, HD, interpolation=cv2.INTER_AREA))
    figures = []
    for minutes in (1, 5):
        report_progress("verifying", minutes, 5)
        path = repeated(large, folder / f"{minutes}.mp4", 60.0 * minutes)
        sign_result(path, path, _statement())
        figures.append(_verified(path))
    huge = Path(shutil.copy(made, folder / "huge.mp4"))
    size = huge.stat().st_size
    with open(huge, "ab") as opened:
        opened.write((1).to_bytes(4, "big") + b"mdat" + _HUGE_BYTES.to_bytes(8, "big"))
    os.truncate(huge, size + _HUGE_BYTES)  # a hole: it takes no room on the disk
    last = _verified(huge)
    details["verify"] = {"1 min": figures[0], "5 min": figures[1], "5 GiB more": last}
    yield at_most("verify of a minute at 720p, s", figures[0]["s"], VERIFY_S)
    yield Row(name="seconds of processor time of it, start included", value=figures[0]["cpu_s"])
    peaks = [figure["peak_mb"] for figure in figures]
    more = None if None in peaks else peaks[1] - peaks[0]
    yield at_most("peak memory for five minutes over that for one, MiB", more, MEMORY_MB)
    yield Row(name="verify of a file with 5 GiB behind its end, s", value=last["s"])
    yield between("its exit code", last["exit_code"], 12, 12)


def _verified(path: Path) -> dict[str, Any]:
    """Seconds, peak memory and exit code of `verify` in a process of its own."""
    return json.loads(_printed(_VERIFIER, path))


def _printed(program: str, path: str | Path) -> str:
    """The last line that a Python program prints about a file."""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def repeated(source: Path, target: Path, seconds: float) -> Path:
    """The encoded pictures of `source` again and again until there are `seconds`, in a new file, with its tags."""
    count = np.iinfo(np.int64).max
    with av.open(str(target), "w", options={"movflags": "+faststart+use_metadata_tags"}) as new:
        stream = None
        written = 0
        while written < count:
            with av.open(str(source)) as old:
                pictures = old.streams.video[0]
                rate = Fraction(pictures.average_rate or 25)
                count = int(seconds * rate)
                if stream is None:
                    new.metadata.update(old.metadata)
                    stream = new.add_stream_from_template(pictures)
                begun = written
                for packet in old.demux(pictures):
                    if packet.dts is None or packet.pts is None:
                        continue
                    ahead = round((packet.pts - (pictures.start_time or 0)) * packet.time_base * rate)
                    packet.time_base = 1 / rate
                    packet.pts, packet.dts = begun + ahead, written - 3
                    packet.stream = stream
                    new.mux(packet)
                    written += 1
    return target
