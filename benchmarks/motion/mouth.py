"""Mouths made from speech against the true ones: `bench --what mouth`. Each clip is listed under `details`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.motion.speaking import SpokenClip, aligned, delays, open_speaker, spoken_clips
from benchmarks.targets import Finding, Row, TargetJob, at_least, between
from talkingface.metrics.mouth import MEASURES, compare_mouths

LEAST = {
    ("video", "best"): (0.80, 0.67, 0.75),
    ("video", "low"): (0.77, 0.62, 0.68),
    ("video2", "best"): (0.74, 0.62, 0.56),
}
"""Correlations of gap, width and jaw to reach, by folder of the clips and delay."""
LOST = 0.03
"""By how much they may be lower at lag 0."""
MOVEMENT = {
    "video": dict.fromkeys(MEASURES, (0.85, 1.15)),
    "video2": {"gap": (0.8, 1.1)},
}


def mouth(job: TargetJob) -> Finding:
    """Correlation of gap, width and jaw with the true mouth and how far they move, on val clips of at least 2.4 s of
    people who are not in train, speech only in; for each folder of clips and each delay."""
    speaker, settings = open_speaker(job), delays()
    scores = []
    for clip in spoken_clips(job, speaker.model, lambda entry: entry.split == "val"):
        if clip.long_enough:
            made = {name: speaker.measures(clip.neutral, clip.samples, chosen) for name, chosen in settings.items()}
            scores += [score_mouth(clip, measures) | {"delay": name} for name, measures in made.items()]
    return Finding(rows=[*mouth_rows(scores)], details={"clips": scores})


def score_mouth(clip: SpokenClip, generated: np.ndarray) -> dict[str, Any]:
    """Figures of one clip; `name0` is at lag 0 after shifting the clip by `offset`, the lag of its real gap, and
    `name_movement` the generated over the true deviation."""
    generated, true, offset = aligned(generated, clip.measures)
    found = compare_mouths(generated, true, offset)
    score: dict[str, Any] = {"clip": clip.slug, "group": clip.group, "own": clip.known}
    score |= {"frames": len(true), "offset": offset}
    for k, name in enumerate(MEASURES):
        score |= {name: found.correlation[k], f"{name}0": found.aligned[k], f"{name}_movement": found.ratios[k]}
    return score


def mouth_rows(scores: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Medians of each group's clips of unseen people beside their targets, delay by delay."""
    unseen = [score for score in scores if not score["own"]]
    for group, delay in dict.fromkeys((score["group"], score["delay"]) for score in unseen):
        chosen = [score for score in unseen if (score["group"], score["delay"]) == (group, delay)]
        median = {key: float(np.median([score[key] for score in chosen])) for key in _keys()}
        title, least = f"{group} ({len(chosen)} clips), {delay}", LEAST.get((group, delay))
        for k, name in enumerate(MEASURES):
            label = f"{title}: correlation of {name}"
            yield at_least(label, median[name], least[k]) if least else Row(name=label, value=median[name])
        for name in MEASURES:
            label = f"{title}: the same of {name} at lag 0, one offset a clip"
            yield at_least(label, median[f"{name}0"], round(median[name] - LOST, 3))
        for name in MEASURES:
            label, value = f"{title}: movement of {name} over the true one", median[f"{name}_movement"]
            limits = MOVEMENT.get(group, {}).get(name)
            yield between(label, value, *limits) if limits else Row(name=label, value=value)


def _keys() -> Iterator[str]:
    for name in MEASURES:
        yield from (name, f"{name}0", f"{name}_movement")
