"""What the average speaker does, and how surely a figure of a style tells people apart: `bench --what average-style`.

`--data` names prepared clips (the folder `prepared` of a training), of which the people of the train split count. The
rows stand beside the constants in `core/style.py` and `metrics/style.py`; put the figures there when they are off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob, between
from talkingface.clips.manifest import PreparedClip, prepared_clips
from talkingface.core.errors import UsageError
from talkingface.core.progress import report_progress
from talkingface.core.style import FIGURES
from talkingface.face.morphable import load_mesh478
from talkingface.metrics.behaviour import find_blinks, speech_frames
from talkingface.metrics.style import BLINK_SHAPE, EVIDENCE, FPS, STRETCH_FRAMES, stretch_logs
from talkingface.training.speaking_clips import load_speaking_clip

WITHIN = 0.05
"""How far a constant may be off, as a logarithm."""
BLINKS_S = 3.0
"""Shorter clips say nothing about blinks."""


def average_style(job: TargetJob) -> Finding:
    """Geometric means over people, and deviations between and within them."""
    if job.data is None:
        raise UsageError("this is measured on prepared clips; name their folder with --data")
    clips = [clip for clip in prepared_clips(job.data, "train") if clip.speaks][: job.limit]
    logs: dict[str, list[np.ndarray]] = {}
    blinks: dict[str, tuple[int, float]] = {}
    for number, clip in enumerate(clips):
        report_progress("clips", number, len(clips))
        stretches, count, seconds = measured(clip)
        if len(stretches):
            logs.setdefault(clip.identity, []).append(stretches)
        if seconds >= BLINKS_S:
            earlier = blinks.get(clip.identity, (0, 0.0))
            blinks[clip.identity] = earlier[0] + count, earlier[1] + seconds
    people = {person: np.concatenate(stretches) for person, stretches in logs.items()}
    rows = [*evidence_rows(people), *blink_rows(list(blinks.values()))]
    return Finding(rows=rows, details={"people": len(people), "stretches": sum(map(len, people.values()))})


def measured(clip: PreparedClip) -> tuple[np.ndarray, int, float]:
    """A clip's whole stretches of speech as logarithms [K, figures], its blinks, and seconds in which it is seen."""
    face = load_speaking_clip(clip, load_mesh478())
    seen = face.weight > 0
    spoken = seen & speech_frames(face.samples, FPS, len(face))
    whole = np.flatnonzero(spoken)[: spoken.sum() // STRETCH_FRAMES * STRETCH_FRAMES]
    counted = np.zeros(len(face), bool)
    counted[whole] = True
    stretches = stretch_logs(face.measures, face.pose, counted) if len(whole) else np.zeros((0, len(EVIDENCE)))
    return stretches, len(find_blinks(face.blink[seen, 0], FPS).times_s), float(seen.sum() / FPS)


def evidence_rows(people: Mapping[str, np.ndarray]) -> Iterator[Row]:
    """The average and the two deviations of each figure beside the constants."""
    means = np.array([logs.mean(axis=0) for logs in people.values()])
    several = [logs for logs in people.values() if len(logs) > 1]
    squares = np.concatenate([(logs - logs.mean(axis=0)) ** 2 for logs in several])
    within = squares.sum(axis=0) / sum(len(logs) - 1 for logs in several)
    chance = within * np.mean([1 / len(logs) for logs in people.values()])
    apart = np.sqrt(np.maximum(means.var(axis=0, ddof=1) - chance, 0))
    for k, (name, evidence) in enumerate(EVIDENCE.items()):
        average = FIGURES[name]["average"]
        label = f"{name}, {FIGURES[name]['unit']}"
        yield between(label, float(np.exp(means[:, k].mean())), average * np.exp(-WITHIN), average * np.exp(WITHIN))
        for what, value, listed in (
            ("between", apart[k], evidence.between),
            ("within", within[k] ** 0.5, evidence.within),
        ):
            yield between(
                f"{name}: deviation {what} people, logarithms", float(value), listed - WITHIN, listed + WITHIN
            )


def blink_rows(people: Sequence[tuple[int, float]]) -> Iterator[Row]:
    """The rate over all people, and the shape of its distribution over them (method of moments)."""
    count, minutes = np.array(people, float).T
    minutes = minutes / 60
    mean = count.sum() / minutes.sum()
    spread = ((count - mean * minutes) ** 2 - count).sum() / (minutes**2).sum()
    listed = FIGURES["blinks"]["average"]
    yield between("blinks, 1/min", float(mean), listed * np.exp(-WITHIN), listed * np.exp(WITHIN))
    yield between(
        "shape of the blink rates' gamma distribution", float(mean**2 / spread), BLINK_SHAPE - 0.5, BLINK_SHAPE + 0.5
    )
