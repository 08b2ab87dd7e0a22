"""`evaluate --systems`: systems beside real video (ceiling), still photo and baselines (floors), on real clips.

Self-driven: a clip's first frame says the clip's own sound with the clip's own head motion, and is held against the
clip. Cross-driven: it says another person's sound with the system's own head motion; there is no true picture, but the
mouth is held against the other person's, and the figures that need no reference remain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.api.evaluation.generate import (
    Maker,
    RealClip,
    Speaker,
    Task,
    make_once,
    real_clips,
    silence_like,
    still_photo,
)
from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.report import make_report, strict, summarise, write_json
from talkingface.api.evaluation.run import run_pairs
from talkingface.api.evaluation.subject import CLOCK_FPS, read_subject
from talkingface.api.evaluation.videos import work_folder
from talkingface.clips.source import existing
from talkingface.core import registry
from talkingface.core.cache import check_writable
from talkingface.core.device import configure_process
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.core.progress import report_progress
from talkingface.core.types import check_number

REAL, STILL = "real video", "still photo"
SELF, CROSS = PROTOCOLS = ("self-driven", "cross-driven")
MEASURES = ("gap", "width", "jaw")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A video to score: which row of which protocol, on which clip, with whose sound."""

    protocol: str
    row: str
    clip: RealClip
    speaker: RealClip
    pair: Pair


def evaluate_systems(
    systems: Sequence[str],
    data: str | Path,
    output: str | Path,
    *,
    limit: int | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Generate with `systems` (names, or weights like "portrait.clean") on the clips of `data`, score, write `output`.

    `data`: a data folder (its val split is used) or a folder of videos, one person each. `limit`: at most so many
    clips. In the returned report `systems` holds, for each protocol, each row's summary; `clips` every record. Videos
    and finished records are kept in a folder beside `output`. Raises like `evaluate`.
    """
    configure_process()
    for name, value in (("workers", workers), ("limit", limit)):
        if value is not None:
            check_number(name, value, 1, whole=True)
    check_writable(output)
    if not systems:
        raise UsageError("name at least one system; see: talkingface systems")
    speakers = {name: Speaker.named(name) for name in systems}
    makers: dict[str, Maker] = {STILL: still_photo, **_baselines(speakers.values()), **speakers}
    with work_folder(output) as work:
        report = _report(makers, data, work.path, limit, workers)
        write_json(output, report)
    return report


def _report(
    makers: dict[str, Maker], data: str | Path, work: Path, limit: int | None, workers: int | None
) -> dict[str, Any]:
    clips, skipped = real_clips(existing(data), _made(work / "clips"), limit)
    jobs = _jobs(clips, makers, _made(work / "videos"))
    records = run_pairs([job.pair for job in jobs], work, workers)
    for job, record in zip(jobs, records, strict=True):
        record |= {"protocol": job.protocol, "system": job.row, "speaker": job.speaker.name}
    _hold_mouths(jobs, records)
    _measure_leaks(jobs, records, makers, work)
    settings = {
        "systems": _rows(jobs, records, work),
        "data": {"folder": str(data), "clips": [clip.name for clip in clips], "skipped": skipped},
    }
    return make_report(records, settings, work)


def _baselines(speakers: Iterable[Speaker]) -> dict[str, Maker]:
    """The floors that the default system and those to be scored declare."""
    names = dict.fromkeys([registry.DEFAULT_SYSTEM, *(speaker.system for speaker in speakers)])
    return {
        row: Speaker(name, None, preset) for name in names for row, preset in registry.get_spec(name).baselines.items()
    }


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _other(clips: Sequence[RealClip], number: int) -> RealClip:
    """The next clip of another person."""
    order = [*clips[number + 1 :], *clips[:number]]
    return next(clip for clip in order if clip.person != clips[number].person)


def _jobs(clips: Sequence[RealClip], makers: dict[str, Maker], videos: Path) -> list[_Job]:
    """The jobs clip by clip; their videos are made system by system, so that each is loaded once."""
    speakers = {clip.name: {SELF: clip, CROSS: _other(clips, number)} for number, clip in enumerate(clips)}
    made: dict[tuple[str, str, str], Pair] = {}
    for row, maker in makers.items():
        for clip in clips:
            report_progress("making videos", len(made), len(makers) * len(clips) * len(PROTOCOLS))
            for protocol, speaker in speakers[clip.name].items():
                task = Task(face=clip, sound=speaker.sound, own_pose=protocol == SELF)
                pair = _made_pair(f"{row}, {protocol}, {clip.name}", row, maker, task, videos)
                if protocol == SELF and pair.problem is None:
                    pair = replace(pair, reference=clip.original)
                made[row, protocol, clip.name] = pair
    jobs = []
    for clip in clips:
        for protocol in PROTOCOLS:
            jobs.append(_Job(protocol=protocol, row=REAL, clip=clip, speaker=clip, pair=_real_pair(clip, protocol)))
        for row in makers:
            for protocol, speaker in speakers[clip.name].items():
                pair = made[row, protocol, clip.name]
                jobs.append(_Job(protocol=protocol, row=row, clip=clip, speaker=speaker, pair=pair))
    return jobs


def _real_pair(clip: RealClip, protocol: str) -> Pair:
    return Pair(
        name=f"{REAL}, {protocol}, {clip.name}",
        generated=clip.video,
        reference=clip.original if protocol == SELF else None,
        speech=clip.sound,
        source=clip.photo,
    )


def _made_pair(name: str, row: str, maker: Maker, task: Task, videos: Path) -> Pair:
    try:
        path = make_once(maker, _label(row, maker), task, videos)
    except TalkingFaceError as error:
        return Pair(name=name, generated=None, problem=f"{row} made no video: {error}")
    return Pair(name=name, generated=path, speech=task.sound, source=task.face.photo)


def _label(row: str, maker: Maker) -> str:
    return maker.identity() if isinstance(maker, Speaker) else row.replace(" ", "-")


def _mouth(record: dict[str, Any]) -> np.ndarray:
    rows = record["per_frame"]
    return np.array([rows["mouth.mean_gap"], rows["mouth.width"], rows["mouth.jaw"]]).T


def _scored(record: dict[str, Any]) -> bool:
    return record["status"] == "scored"


def _hold_mouths(jobs: Sequence[_Job], records: Sequence[dict[str, Any]]) -> None:
    """Cross-driven mouths against the mouth of the real speaker."""
    from talkingface.metrics.mouth import compare_mouths

    real = {
        job.speaker.name: record
        for job, record in zip(jobs, records, strict=True)
        if job.protocol == CROSS and job.row == REAL and _scored(record)
    }
    for job, record in zip(jobs, records, strict=True):
        truth = real.get(job.speaker.name)
        if job.protocol == CROSS and job.row != REAL and _scored(record) and truth is not None:
            made, true = _mouth(record), _mouth(truth)
            count = min(len(made), len(true))
            found = compare_mouths(made[:count], true[:count])
            for k, name in enumerate(MEASURES):
                record["metrics"][f"mouth.correlation.{name}"] = strict(found.correlation[k])
                record["metrics"][f"mouth.{name}_ratio"] = strict(found.ratios[k])


def _measure_leaks(
    jobs: Sequence[_Job], records: Sequence[dict[str, Any]], makers: dict[str, Maker], work: Path
) -> None:
    """Silence and another person's speech instead of the clip's: what mouth and true mouth still share is a leak."""
    from talkingface.metrics.mouth import mouth_measures

    sounds: dict[str, Callable[[_Job], Path]] = {
        "leak.silence": lambda job: silence_like(job.clip.sound, work),
        "leak.other_speech": lambda job: others[job.clip.name],
    }
    others = {job.clip.name: job.speaker.sound for job in jobs if job.protocol == CROSS and job.row != REAL}
    own = [
        (job, record)
        for job, record in zip(jobs, records, strict=True)
        if job.protocol == SELF and _scored(record) and _is_scored_system(makers.get(job.row))
    ]
    own.sort(key=lambda found: found[0].row)  # a system at a time: each is loaded once
    for number, (job, record) in enumerate(own):
        report_progress("looking for leaks", number, len(own))
        rows = record["per_frame"]
        true = np.array(rows["mouth.gap.reference"])
        envelope = np.array(rows["speech.envelope"], float)
        for key, sound in sounds.items():
            maker = makers[job.row]
            task = Task(face=job.clip, sound=sound(job), own_pose=True)
            try:
                video = make_once(maker, _label(job.row, maker), task, work / "videos")
                gap = mouth_measures(read_subject(video, "generated video").points)[:, 0]
            except TalkingFaceError as error:
                record["gaps"] |= dict.fromkeys((key, f"{key}_envelope"), str(error))
                continue
            for name, hidden in ((key, true), (f"{key}_envelope", envelope[np.isfinite(envelope)])):
                leaked = _leaked(gap, hidden, true.std())
                if np.isnan(leaked):
                    record["gaps"][name] = "the clip is too short"
                else:
                    record["metrics"][name] = strict(leaked)


def _is_scored_system(maker: Maker | None) -> bool:
    return isinstance(maker, Speaker) and maker.baseline is None


def _leaked(gap: np.ndarray, hidden: np.ndarray, usual: float) -> float:
    """Correlation above chance of a lip gap [T] with a hidden signal [T'], times how far it moves beside the true
    one's standard deviation `usual`, at most 1.

    Correlation alone does not see size: lips at rest on a nodding head move by a fortieth of speech, and with it.
    """
    from talkingface.metrics.behaviour import leakage

    moved = min(1.0, float(gap[: len(hidden)].std() / max(usual, 1e-9)))
    return leakage(gap, hidden, CLOCK_FPS).excess * moved


def _rows(jobs: Sequence[_Job], records: Sequence[dict[str, Any]], work: Path) -> dict[str, dict[str, Any]]:
    """protocol -> row -> summary over its scored records."""
    table: dict[str, dict[str, Any]] = {SELF: {}, CROSS: {}}
    for protocol, rows in table.items():
        for row in dict.fromkeys(job.row for job in jobs):
            chosen = [
                record
                for job, record in zip(jobs, records, strict=True)
                if (job.protocol, job.row) == (protocol, row) and _scored(record)
            ]
            rows[row] = summarise(chosen, work)
    return table
