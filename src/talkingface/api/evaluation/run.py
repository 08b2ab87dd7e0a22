"""Many pairs: scored in worker processes, kept as they finish, so that a run that was stopped goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue
from typing import Any

from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.report import strict_record, write_json
from talkingface.core.arrays import save_arrays
from talkingface.core.cache import content_hash
from talkingface.core.device import num_cores, room_for_threads
from talkingface.core.errors import TalkingFaceError, WeightsError
from talkingface.core.progress import report_progress
from talkingface.core.weights import find_weights, read_card

RECORD_VERSION = 2
"""Raise when what is measured changes in a way that no definition's version records."""


def run_pairs(pairs: Sequence[Pair], work: Path, workers: int | None = None) -> list[dict[str, Any]]:
    """Records of all pairs in their order, as strict JSON; `status` is "scored", or "failed" with a `reason`.

    Finished records lie in the folder `work` by the content of their inputs, and are not made again. One pair is scored
    in this process with `workers` threads, more in `workers` processes (None: as many as there are cores).
    """
    workers = workers or num_cores()
    found: dict[int, dict[str, Any]] = {}
    todo: dict[int, tuple[Pair, Path]] = {}
    for number, pair in enumerate(pairs):
        try:
            if pair.problem is not None:
                raise TalkingFaceError(pair.problem)
            place = work / f"{record_key(pair)}.json"
        except TalkingFaceError as error:
            found[number] = failed(pair, str(error))
            continue
        kept = _read(place)
        if kept is not None:
            found[number] = _named(pair, kept)
        else:
            todo[number] = (pair, place)
    for number, record in _score_all(todo, workers, len(pairs)):
        found[number] = record
    return [found[number] for number in range(len(pairs))]


def record_key(pair: Pair) -> str:
    """A text equal for pairs with equal inputs under equal definitions. Raises InputError for an unreadable file."""
    from talkingface.api.evaluation.score.learned import imported_hashes
    from talkingface.face.track import VERSION
    from talkingface.metrics.definitions import VERSIONS

    contents = {role: content_hash(path) for role, path in pair.files().items() if path is not None}
    if pair.sound_track is not None:
        contents["sound_track"] = str(pair.sound_track)
    networks = {"expert": _expert_hash(), **imported_hashes()}
    facts = json.dumps([RECORD_VERSION, VERSION, VERSIONS, networks, contents], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _expert_hash() -> str | None:
    """Of the sync expert's weights; None where there are none, so that its gaps are filled once there are."""
    from talkingface.metrics.sync_expert import WEIGHTS

    try:
        return read_card(find_weights(WEIGHTS).folder)["sha256"]
    except WeightsError:
        return None


def failed(pair: Pair, reason: str) -> dict[str, Any]:
    """The record of a pair that could not be scored."""
    return _named(pair, {"status": "failed", "reason": reason, "metrics": {}, "gaps": {}, "infinite": []})


def _named(pair: Pair, record: dict[str, Any]) -> dict[str, Any]:
    return {"name": pair.name, **pair.files(), **record}


def _read(place: Path) -> dict[str, Any] | None:
    try:
        return json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not there, or damaged: make it again


def _score_all(todo: dict[int, tuple[Pair, Path]], workers: int, total: int) -> Iterator[tuple[int, dict[str, Any]]]:
    if len(todo) <= 1 or workers == 1:
        with room_for_threads():
            for number, (pair, place) in todo.items():
                yield number, score_and_keep(pair, place, workers)
        return
    report_progress("scoring clips", total - len(todo), total)
    with _Crew(min(workers, len(todo))) as crew, ThreadPoolExecutor(crew.size) as pool:
        futures = {pool.submit(crew.score, pair, place): number for number, (pair, place) in todo.items()}
        try:
            for done, future in enumerate(as_completed(futures), total - len(todo) + 1):
                report_progress("scoring clips", done, total)
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()
            raise


class _Crew:
    """Worker processes; each scores one pair at a time, and one that is killed takes only its pair with it.

    They are plain programs, not `multiprocessing`, which would run the caller's script again in each.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: Queue[subprocess.Popen[str]] = Queue()
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> _Crew:
        for _ in range(self.size):
            self._free.put(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def score(self, pair: Pair, place: Path) -> dict[str, Any]:
        """The record of a pair, made by whichever worker is free."""
        worker = self._free.get()
        assert worker.stdin is not None and worker.stdout is not None
        job = {"name": pair.name, **pair.files(), "sound_track": pair.sound_track, "place": str(place)}
        try:
            worker.stdin.write(json.dumps(job) + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
        except (OSError, ValueError):
            answer = ""
        if answer:
            self._free.put(worker)
            return json.loads(answer)
        worker.kill()
        self._free.put(self._start())
        return failed(pair, "the process that scored it was killed; the memory may not be enough")

    def stop(self) -> None:
        """End all workers."""
        for worker in self._running:
            worker.kill()
            worker.wait()
            for stream in (worker.stdin, worker.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # a job that was not read any more
                        stream.close()

    def _start(self) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, "-m", "talkingface.api.evaluation.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # faults come as reasons; the rest is the libraries' chatter
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
        )
        self._running.append(worker)
        return worker


def score_and_keep(pair: Pair, place: Path, threads: int) -> dict[str, Any]:
    """Score a pair and keep its record at `place`; whatever goes wrong becomes a record too."""
    from talkingface.api.evaluation.score.pair import score_pair

    try:
        found = score_pair(pair, threads)
        arrays = found.pop("arrays", {})
        record = {"status": "scored", **strict_record(found)}
    except TalkingFaceError as error:
        return failed(pair, str(error))
    except Exception as error:  # a fault of ours in one clip must not cost the others
        return failed(pair, f"unexpected {type(error).__name__}: {' '.join(str(error).split())}")
    place.parent.mkdir(parents=True, exist_ok=True)
    if arrays:
        record["arrays"] = f"{place.stem}.npz"
        save_arrays(place.with_suffix(".npz"), **arrays)
    write_json(place, record)
    return _named(pair, record)
