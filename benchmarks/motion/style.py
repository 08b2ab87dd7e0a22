"""Whether a style that is read from a clip is seen in what other voices make a face do: `bench --what style`.

Six people of the val clips, those who differ most in opening and width, lend their styles to three voices. Figures are
of the shipped face's shape, before pictures are drawn; with `--long` also of the finished videos, tracked again. Each
of the eighteen results is listed under `details`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.motion.speaking import SpeechFile, open_speaker, shipped_face, sound_of, speech_files
from benchmarks.targets import Finding, Row, TargetJob, at_least
from talkingface import api
from talkingface.api.style import LONGEST_PX, READ_S
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.clips.tracked import track_clip
from talkingface.core.errors import TalkingFaceError
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.core.style import Style
from talkingface.core.types import Audio, Controls
from talkingface.metrics.behaviour import speech_frames
from talkingface.metrics.mouth import CLOSED_GAP, mouth_measures
from talkingface.metrics.style import mouth_figures
from talkingface.training.speaking_clips import FPS, on_clock

STYLES, VOICES = 6, 3
VOICE_S, SHORTEST_S = 12.0, 4.0
RATE_HZ = 16000
LEAST = 0.9
JUDGED = ("mean_gap", "width")
MIN_RATIO = 1.15
"""Two styles are held against each other if the one opens the mouth this much farther than the other."""
KEYS = {
    "mean_gap": "mean opening",
    "width": "deviation of width",
    "opening": "opening that is exceeded a tenth of the time",
    "jaw": "deviation of jaw",
    "speed": "mean speed of the gap",
    "pace": "pace",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleClip:
    """A clip, its style as a user gets it, and the figures of `spoken_figures` as they are in the clip."""

    slug: str
    style: Style
    figures: Mapping[str, float]


def style(job: TargetJob) -> Finding:
    """Rank correlation of results with the clips that lent their style, and whether two styles are told apart."""
    clips, speaker = style_clips(job), open_speaker(job)
    neutral = shipped_face(speaker.model)
    voices = speech_files(job, split="val")[:VOICES]
    results: list[dict[str, Any]] = []
    kept = []
    for voice in voices:
        samples = voice.read(VOICE_S)
        plain = speaker.measures(neutral, samples)
        for clip in clips:
            made = speaker.measures(neutral, samples, Controls(style=clip.style))
            shut = (plain[:, 0] < CLOSED_GAP) & speech_frames(samples, FPS, len(plain))
            kept += (made[shut, 0] < CLOSED_GAP).tolist()
            results.append(_result(clip, voice, spoken_figures(made, samples)))
    rows = [*style_rows(results, "")]
    rows.append(at_least("frames in speech with lips together that keep them together", float(np.mean(kept)), 0.98))
    if job.long:
        drawn = drawn_results(clips, voices, job)
        rows += style_rows(drawn, "drawn: ")
        results += drawn
    styles = [{"clip": clip.slug, "speech_s": clip.style.speech_s, **clip.figures} for clip in clips]
    return Finding(rows=rows, details={"styles": styles, "results": results})


def style_clips(job: TargetJob) -> list[StyleClip]:
    """Of the val clips of people who speak for four seconds and more, a clip a person, those that differ most."""
    found: dict[str, StyleClip] = {}
    entries = [entry for entry in list_clips(job.folder) if entry.split == "val" and entry.speaks]
    for number, entry in enumerate(entries):
        report_progress("reading styles", number, len(entries))
        if entry.identity not in found and (clip := _style_clip(entry)) is not None:
            found[entry.identity] = clip
    return most_apart(sorted(found.values(), key=lambda clip: clip.figures["mean_gap"]), STYLES)


def most_apart(clips: Sequence[StyleClip], count: int) -> list[StyleClip]:
    """The `count` clips of which no two are alike in opening or in width: their least difference is the largest."""
    places = np.log([[clip.figures[key] for key in JUDGED] for clip in clips])
    apart = np.abs(places[:, None] - places).min(axis=-1)
    chosen = max(
        combinations(range(len(clips)), min(count, len(clips))),
        key=lambda some: min((apart[a, b] for a, b in combinations(some, 2)), default=0.0),
    )
    return [clips[k] for k in chosen]


def _style_clip(entry: ClipEntry) -> StyleClip | None:
    samples = sound_of(entry)
    if samples is None or len(samples) < SHORTEST_S * RATE_HZ:
        return None
    try:
        read = api.read_style(entry.path, speech=entry.sound)
    except TalkingFaceError:
        return None
    if read.speech_s < SHORTEST_S:
        return None
    track = track_clip(entry.path, longest_px=LONGEST_PX, end_s=READ_S, upright=True).track
    measures = on_clock(mouth_measures(track.landmarks), track.times_s)
    return StyleClip(slug=entry.slug, style=read, figures=spoken_figures(measures, samples))


def spoken_figures(measures: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    """What a mouth [T, 3] does while there is speech in `samples` float32 [N] at 16 kHz: one of each of `KEYS`."""
    spoken = speech_frames(samples, FPS, len(measures))
    figures = mouth_figures(measures, spoken)
    gap = measures[:, 0]
    speed = np.abs(gap[2:] - gap[:-2])[spoken[1:-1]] * FPS / 2
    return {**figures, "mean_gap": float(gap[spoken].mean()), "speed": float(speed.mean())}


def drawn_results(clips: Sequence[StyleClip], voices: Sequence[SpeechFile], job: TargetJob) -> list[dict[str, Any]]:
    """The results as videos of the shipped portrait, tracked again."""
    results = []
    face = api.fit(sample("portrait"), weights=job.weights)
    with tempfile.TemporaryDirectory() as folder:
        for number, (voice, clip) in enumerate((voice, clip) for voice in voices for clip in clips):
            report_progress("drawing", number, len(voices) * len(clips))
            samples, path = voice.read(VOICE_S), Path(folder) / f"{number}.mp4"
            speech = Audio(samples=samples[None], rate_hz=RATE_HZ)
            api.animate(face, speech, style=clip.style, weights=job.weights, size=512).save(path)
            points = track_clip(path, stage=None, cached=False).track.landmarks
            results.append(_result(clip, voice, spoken_figures(mouth_measures(points), samples)) | {"drawn": True})
    return results


def _result(clip: StyleClip, voice: SpeechFile, figures: Mapping[str, float]) -> dict[str, Any]:
    return {
        "clip": clip.slug, "voice": voice.slug, **figures, **{f"{key}_of_clip": clip.figures[key] for key in KEYS},
    }  # fmt: skip


def style_rows(results: Sequence[Mapping[str, Any]], before: str) -> Iterator[Row]:
    """Agreement of the results with the clips."""
    for key, name in KEYS.items():
        label = f"{before}rank correlation of {name}, {len(results)} results"
        value = rank_correlation(results, key)
        yield at_least(label, value, LEAST) if key in JUDGED else Row(name=label, value=value)
    by_voice = [[r for r in results if r["voice"] == voice] for voice in dict.fromkeys(r["voice"] for r in results)]
    for key in JUDGED:
        value = float(np.mean([rank_correlation(part, key) for part in by_voice]))
        yield Row(name=f"{before}rank correlation of {KEYS[key]} within a voice, mean", value=value)
        ratio = float(np.median([r[key] / r[f"{key}_of_clip"] for r in results]))
        yield Row(name=f"{before}{KEYS[key]} over the style clip's, median", value=ratio)
    right = [*told_apart(results)]
    yield at_least(
        f"{before}pairs of styles of one voice in the right order (of {len(right)})", float(np.mean(right)), 0.95
    )


def rank_correlation(results: Sequence[Mapping[str, Any]], key: str) -> float:
    """Spearman's, of a figure of the results with that of the clips."""
    found, _ = spearmanr([r[key] for r in results], [r[f"{key}_of_clip"] for r in results])
    return float(found)  # type: ignore[arg-type]


def told_apart(results: Sequence[Mapping[str, Any]]) -> Iterator[bool]:
    """For each two results of one voice whose styles differ in mean opening: whether theirs differs in the same way."""
    for a, b in combinations(results, 2):
        low, high = sorted((a, b), key=lambda r: r["mean_gap_of_clip"])
        if a["voice"] == b["voice"] and high["mean_gap_of_clip"] >= MIN_RATIO * low["mean_gap_of_clip"]:
            yield bool(high["mean_gap"] > low["mean_gap"])
