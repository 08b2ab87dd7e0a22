"""Voices that are not plain speech: `bench --what voices`. Gap curves at 25 fps are under `details`.

There are no targets: these are things to know before somebody tries them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.motion.silence import OPEN_GAP
from benchmarks.motion.sounds import as_child, cough, together, whispered
from benchmarks.motion.speaking import SpeechFile, delays, open_speaker, shipped_face, speech_files
from benchmarks.targets import Finding, Row, TargetJob
from talkingface.core.lags import correlation
from talkingface.metrics.mouth import open_share

VOICES = 4
SECONDS = 10.0
SINGING = "ja_singing"


@dataclass(frozen=True, slots=True, kw_only=True)
class OddVoice:
    """A sound, and what its gaps [T] are compared with: those of `clean`, played `speed` times as fast."""

    name: str
    samples: np.ndarray
    clean: np.ndarray | None = None
    speed: float = 1.0


def voices(job: TargetJob) -> Finding:
    """Share of open frames, mean and peak gap of whispers, a child's voice, singing, coughs and two people at once on
    the shipped portrait, and the gap's correlation with that of the clean voice where there is one."""
    speaker, settings = open_speaker(job), delays()
    neutral = shipped_face(speaker.model)
    curves: list[dict[str, Any]] = []
    for voice in odd_voices(job):
        for delay, controls in settings.items():
            gap = speaker.measures(neutral, voice.samples, controls)[:, 0]
            found: dict[str, Any] = {"sound": voice.name, "delay": delay, "gap": gap.round(4).tolist()}
            if voice.clean is not None:
                clean = speaker.measures(neutral, voice.clean, controls)[:, 0]
                found["correlation"] = compared(gap, clean, voice.speed)
            curves.append(found)
    return Finding(rows=[*voice_rows(curves)], details={"sounds": curves})


def voice_rows(curves: list[dict[str, Any]]) -> Iterator[Row]:
    """Figures of each sound, means over the voices that it was made from."""
    for sound, delay in dict.fromkeys((curve["sound"], curve["delay"]) for curve in curves):
        chosen = [curve for curve in curves if (curve["sound"], curve["delay"]) == (sound, delay)]
        gap = np.concatenate([curve["gap"] for curve in chosen])
        yield Row(name=f"{sound}, {delay}: share of open frames", value=open_share(gap, OPEN_GAP))
        yield Row(name=f"{sound}, {delay}: mean gap", value=float(gap.mean()))
        yield Row(name=f"{sound}, {delay}: widest gap", value=float(gap.max()))
        against = [curve["correlation"] for curve in chosen if "correlation" in curve]
        if against:
            yield Row(
                name=f"{sound}, {delay}: correlation of gap with the plain voice's", value=float(np.mean(against))
            )


def compared(gap: np.ndarray, clean: np.ndarray, speed: float) -> float:
    """Correlation of gaps [T] with those of the plain voice, re-timed to it."""
    times = np.arange(len(gap)) * speed
    inside = times <= len(clean) - 1
    return correlation(gap[inside], np.interp(times[inside], np.arange(len(clean)), clean))


def odd_voices(job: TargetJob) -> Iterator[OddVoice]:
    """All sounds, several voices of each where they are made from plain speech."""
    plain = [file.read(SECONDS) for file in speech_files(job, language="en", split="val")[:VOICES]]
    for k, clean in enumerate(plain):
        yield OddVoice(name="plain speech", samples=clean)
        yield OddVoice(name="whisper", samples=whispered(clean, k), clean=clean)
        yield OddVoice(name="child's voice", samples=as_child(clean), clean=clean, speed=1.25)
        both = together(clean, plain[k - 1])
        yield OddVoice(name="two people at once, against the first", samples=both, clean=clean[: len(both)])
        yield OddVoice(name="two people at once, against the second", samples=both, clean=plain[k - 1][: len(both)])
    for file in _named(job, SINGING):
        yield OddVoice(name="singing", samples=file.read())
    for k in range(VOICES):
        yield OddVoice(name="coughs", samples=cough(SECONDS, k, -18.0))


def _named(job: TargetJob, slug: str) -> Iterator[SpeechFile]:
    yield from (file for file in speech_files(job) if file.slug == slug)
