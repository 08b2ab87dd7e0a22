"""Many pairs: scored in worker processes, kept as they finish, so that a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from talkingface.api.evaluation_pairs import Pair
from talkingface.api.evaluation_report import strict_record, write_json
from talkingface.core.cache import content_hash
from talkingface.core.device import num_cores
from talkingface.core.errors import TalkingFaceError
from talkingface.core.progress import tell

RECORD_VERSION = 1
"""Raise when what is measured changes in a way that no definition's version tells."""


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
    from talkingface.face.track import VERSION
    from talkingface.metrics.definitions import VERSIONS

    contents = {role: content_hash(path) for role, path in pair.files().items() if path is not None}
    facts = json.dumps([RECORD_VERSION, VERSION, VERSIONS, contents], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


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
    if not todo:
        return
    if len(todo) == 1 or workers == 1:
        for number, (pair, place) in todo.items():
            yield number, _score(pair, place, workers)
        return
    left = dict(todo)
    try:
        yield from _in_processes(left, workers, total)
    except BrokenProcessPool:
        # one of the pairs in work killed its process (mostly for want of memory): alone each shows which it was
        for number, (pair, place) in list(left.items()):
            try:
                yield from _in_processes({number: (pair, place)}, 1, total)
            except BrokenProcessPool:
                yield number, failed(pair, "the process that scored it was killed; the memory may not be enough")


def _in_processes(left: dict[int, tuple[Pair, Path]], workers: int, total: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Pairs as they finish; those done are removed from `left`."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(left)), mp_context=context, initializer=_start_worker) as pool:
        futures = {pool.submit(_score, pair, place, 1): number for number, (pair, place) in left.items()}
        tell("scoring clips", total - len(left), total)
        try:
            for future in as_completed(futures):
                number = futures[future]
                record = future.result()
                del left[number]
                tell("scoring clips", total - len(left), total)
                yield number, record
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    import cv2

    from talkingface.core.device import tune_allocator

    cv2.setNumThreads(1)  # the processes fill the cores
    tune_allocator()


def _score(pair: Pair, place: Path, threads: int) -> dict[str, Any]:
    """Score a pair and keep its record at `place`; whatever goes wrong becomes a record too."""
    from talkingface.api.evaluation_clip import score_pair

    try:
        record = {"status": "scored", **strict_record(score_pair(pair, threads))}
    except TalkingFaceError as error:
        return failed(pair, str(error))
    except Exception as error:  # a fault of ours in one clip must not cost the others
        return failed(pair, f"unexpected {type(error).__name__}: {' '.join(str(error).split())}")
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, record)
    return _named(pair, record)
