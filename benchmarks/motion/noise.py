"""How much of the mouth's agreement is kept when speech is heard badly: `bench --what noise`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.motion.sounds import babble, coloured_noise, in_hall, music, telephone, with_noise
from benchmarks.motion.speaking import SpokenClip, aligned, delays, open_speaker, speech_files, spoken_clips
from benchmarks.targets import Finding, Row, TargetJob, at_least
from talkingface.core.lags import best_lag
from talkingface.metrics.mouth import MAX_LAG, MEASURES

RATIO_DB = 5.0
KEPT = 0.9
TALKERS = 5
NOISE_S = 20.0
Change = Callable[[np.ndarray], np.ndarray]
CLEAN = "clean"


def noise(job: TargetJob) -> Finding:
    """The gap's correlation with the true one on val clips of unseen people, best lag within 3 frames, under noise 5 dB
    below the speech, by telephone and in a hall, over that of the clean sound. Each clip is listed under `details`."""
    speaker, settings, changes = open_speaker(job), delays(), changed_sounds(job)
    scores = []
    for clip in spoken_clips(job, speaker.model, lambda entry: entry.split == "val"):
        if not clip.long_enough or clip.known:
            continue
        for name, change in changes.items():
            heard = change(clip.samples)
            for delay, controls in settings.items():
                scores.append(_score(clip, speaker.measures(clip.neutral, heard, controls), name) | {"delay": delay})
    return Finding(rows=[*noise_rows(scores)], details={"clips": scores})


def changed_sounds(job: TargetJob) -> dict[str, Change]:
    """What is done to the sound, by name; the noises are the same for every clip."""
    talkers = [file.read(NOISE_S) for file in speech_files(job, language="en", split="val")[:TALKERS]]
    noises = {
        "babble": babble(talkers, NOISE_S) if talkers else None,
        "pink noise": coloured_noise(NOISE_S, 1, -25.0, 1.0),
        "music": music(NOISE_S, 1, -25.0),
    }
    changes: dict[str, Change] = {CLEAN: lambda samples: samples}
    for name, other in noises.items():
        if other is not None:
            changes[f"{name} at {RATIO_DB:g} dB"] = lambda samples, other=other: with_noise(samples, other, RATIO_DB)
    return changes | {"telephone": telephone, "hall": lambda samples: in_hall(samples, 1)}


def noise_rows(scores: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """The clean figure, and the share of it that is kept, sound by sound and delay by delay."""
    gaps: dict[tuple[str, str], list[float]] = {}
    for score in scores:
        gaps.setdefault((score["delay"], score["sound"]), []).append(score["gap"])
    for (delay, sound), values in gaps.items():
        median, clean = float(np.median(values)), gaps[delay, CLEAN]
        if sound == CLEAN:
            yield Row(name=f"{delay}: correlation of gap, clean, median of {len(values)} clips", value=median)
            continue
        share = median / max(float(np.median(clean)), 1e-9)
        yield at_least(f"{delay}: share of it kept, {sound}", share, KEPT)
        kept = float(np.mean(values)) / max(float(np.mean(clean)), 1e-9)
        yield Row(name=f"{delay}: share of the mean kept, {sound}", value=kept)


def _score(clip: SpokenClip, generated: np.ndarray, sound: str) -> dict[str, Any]:
    generated, true, _ = aligned(generated, clip.measures)
    found = {name: best_lag(generated[:, k], true[:, k], MAX_LAG)[1] for k, name in enumerate(MEASURES)}
    return {"clip": clip.slug, "group": clip.group, "sound": sound, **found}
