"""What mouths do in sounds that are seen: `bench --what closures|rounding`. Each clip is listed under `details`.

Phones come from the words where a clip's name gives them (GRID sentences, single words), else from an English phone
recogniser, whose mistakes count against real and generated mouths alike: read both figures. The true mouth is shifted
by the clip's own offset first.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.motion.speaking import RATE_HZ, SpokenClip, aligned, delays, open_speaker, spoken_clips
from benchmarks.targets import Finding, Row, TargetJob, at_least, between
from talkingface.api.evaluation.score.phones import PhoneJob
from talkingface.audio.phones import PhoneSpan, align_phones, grid_sentence
from talkingface.clips.manifest import ClipEntry
from talkingface.metrics.mouth import BILABIALS, CLOSED_GAP, OPEN_VOWELS, reached_gaps
from talkingface.training.speaking_clips import FPS

LIP_TEETH = ("F", "V")
NARROW_GAP = 0.03
ROUNDED, SPREAD = ("UW", "OW", "W", "UH"), ("IY", "IH", "S", "EH")
CLOSED_SHARE, NARROW_SHARE, VOWEL_ERROR = 0.93, 0.8, 0.2
ROUNDING = (0.7, 1.2)
LONGEST_S, MOST_CLIPS = 12.0, 8
"""More of a clip, and in `rounding` more clips of one person in train, are not looked at."""
GRID, WORD = "grid_", "word_"
_REACHED = {"lips": (BILABIALS, True), "teeth": (LIP_TEETH, True), "vowels": (OPEN_VOWELS, False)}


def closures(job: TargetJob) -> Finding:
    """How many /p b m/ close the lips and how many /f v/ narrow them, and how far open vowels open them: in all GRID
    clips, of the speaker who is not in train alone, and in English val clips of unseen people by recognised phones."""

    def wanted(entry: ClipEntry) -> bool:
        return _sentence(entry.slug) is not None or entry.split == "val"

    scores = [score for score in _scores(job, wanted, _reached) if score["unseen"] or score["grid"]]
    rows: list[Row] = []
    for delay in delays():
        chosen = [score for score in scores if score["delay"] == delay]
        grid = [score for score in chosen if score["grid"]]
        rows += closure_rows(f"GRID, {delay}", grid)
        rows += closure_rows(f"GRID, unseen speaker, {delay}", [score for score in grid if score["unseen"]])
        unseen = [score for score in chosen if score["unseen"]]
        rows += closure_rows(f"unseen people, {delay}", unseen, recognised=True)
    return Finding(rows=rows, details={"clips": scores})


def closure_rows(title: str, scores: Sequence[Mapping[str, Any]], *, recognised: bool = False) -> Iterator[Row]:
    """The figures of a group of clips; none if it is empty. Where phones are `recognised`, lips are promised to meet
    where the real ones do: the others may be mistakes."""
    joined = {
        f"{mouth}_{name}": np.concatenate([np.zeros(0), *(score[f"{mouth}_{name}"] for score in scores)])
        for mouth in ("generated", "true")
        for name in _REACHED
    }
    for name, phones, limit, least in (
        ("lips", "/p b m/ that close", CLOSED_GAP, CLOSED_SHARE),
        ("teeth", "/f v/ that are narrow", NARROW_GAP, NARROW_SHARE),
    ):
        made, real = joined[f"generated_{name}"] < limit, joined[f"true_{name}"] < limit
        if not len(made):
            continue
        label, share = f"{title}: {phones} ({len(made)})", float(made.mean())
        yield Row(name=label, value=share) if recognised else at_least(label, share, least)
        yield Row(name=f"{title}: {phones}, real mouths", value=float(real.mean()))
        if recognised and real.any():
            yield at_least(f"{title}: {phones} where the real mouth does", float(made[real].mean()), least)
    if len(joined["true_vowels"]):
        error = float(joined["generated_vowels"].mean() / max(joined["true_vowels"].mean(), 1e-9) - 1)
        label = f"{title}: open-vowel gap over the speakers', less one ({len(joined['true_vowels'])})"
        yield between(label, error, -VOWEL_ERROR, VOWEL_ERROR)


def rounding(job: TargetJob) -> Finding:
    """Width in rounded sounds less that in spread ones, generated over true: of unseen people, and of those in train.

    The difference is taken within each clip, because people and photos differ in width, and clips count by how much
    they say about it. The same is given for the gap.
    """
    counted: Counter[str] = Counter()

    def wanted(entry: ClipEntry) -> bool:
        counted[entry.identity] += 1
        return entry.split == "val" or counted[entry.identity] <= MOST_CLIPS

    scores = _scores(job, wanted, _rounded)
    rows: list[Row] = []
    for delay in delays():
        chosen = [score for score in scores if score["delay"] == delay]
        rows += rounding_rows(f"unseen people, {delay}", [score for score in chosen if score["unseen"]])
        known = [score for score in chosen if score["split"] == "train"]
        rows += rounding_rows(f"people in train, {delay}", known, promised=False)
    return Finding(rows=rows, details={"clips": scores})


def rounding_rows(title: str, scores: Sequence[Mapping[str, Any]], *, promised: bool = True) -> Iterator[Row]:
    """The figures of a group of clips; none if none has both kinds of sound."""
    both = [score for score in scores if score["rounded"] and score["spread"]]
    if not both:
        return
    weights = [score["rounded"] * score["spread"] / (score["rounded"] + score["spread"]) for score in both]
    sums = {key: sum(score[key] for score in both) for key in ("rounded", "spread")}
    for name in ("width", "gap"):
        made, true = (
            float(np.average([score[f"{mouth}_{name}"] for score in both], weights=weights))
            for mouth in ("generated", "true")
        )
        counted = f"{sums['rounded']} and {sums['spread']} sounds in {len(both)} clips"
        label = f"{title}: rounding, {name}, over the speakers' own ({counted})"
        share = made / true if abs(true) > 1e-6 else 0.0
        required = promised and name == "width"
        yield between(label, share, *ROUNDING) if required else Row(name=label, value=share)
        yield Row(name=f"{title}: {name} in rounded less spread sounds, real mouths", value=true)


def _scores(
    job: TargetJob,
    wanted: Callable[[ClipEntry], bool],
    score: Callable[[np.ndarray, list[PhoneSpan]], dict[str, Any]],
) -> list[dict[str, Any]]:
    """What `score` finds in the generated and in the true measures of each English clip, for each delay."""
    speaker, settings = open_speaker(job), delays()
    found = []
    for whole in spoken_clips(job, speaker.model, wanted, language="en"):
        clip = replace(whole, samples=whole.samples[: round(LONGEST_S * RATE_HZ)])
        spans = phones_of(clip)
        for delay, controls in settings.items() if spans else ():
            made, true, offset = aligned(speaker.measures(clip.neutral, clip.samples, controls), clip.measures)
            heard, late = _in_both(spans, offset / FPS, (len(true) - 1) / FPS)
            row: dict[str, Any] = {"clip": clip.slug, "delay": delay, "split": clip.split, "unseen": not clip.known}
            row |= {"grid": _sentence(clip.slug) is not None, "offset": offset}
            for mouth, values, phones in (("generated", made, heard), ("true", true, late)):
                figures = score(values, phones)
                row |= {key if key in _COUNTS else f"{mouth}_{key}": value for key, value in figures.items()}
            found.append(row)
    return found


_COUNTS = ("rounded", "spread")


def _in_both(spans: Sequence[PhoneSpan], offset_s: float, end_s: float) -> tuple[list[PhoneSpan], list[PhoneSpan]]:
    """The spans as they are heard and as they are seen, `offset_s` later: those that lie within a clip both times."""
    pairs = [(s, replace(s, start_s=s.start_s + offset_s, end_s=s.end_s + offset_s)) for s in spans]
    kept = [pair for pair in pairs if all(s.start_s >= 0 and s.end_s <= end_s for s in pair)]
    return [heard for heard, _ in kept], [seen for _, seen in kept]


def phones_of(clip: SpokenClip) -> list[PhoneSpan]:
    """The phones of an English clip; empty if none are found."""
    words = clip.slug.removeprefix(WORD) if clip.slug.startswith(WORD) else None
    words = words or _sentence(clip.slug)
    return PhoneJob(clip.samples, beside=False).spans() if words is None else align_phones(clip.samples, words)


def _sentence(slug: str) -> str | None:
    """What is said in a GRID clip; None for another one, or if its name does not tell."""
    if not slug.startswith(GRID):
        return None
    with contextlib.suppress(ValueError):
        return grid_sentence(slug.split("_")[-1])
    return None


def _reached(measures: np.ndarray, spans: list[PhoneSpan]) -> dict[str, Any]:
    """The gaps that sounds reach, by kind of sound."""
    return {
        name: reached_gaps(measures[:, 0], FPS, spans, phones, lowest=lowest).tolist()
        for name, (phones, lowest) in _REACHED.items()
    }


def _rounded(measures: np.ndarray, spans: list[PhoneSpan]) -> dict[str, Any]:
    """Mean width and gap in rounded less spread sounds, and how many there are of both."""
    rounded, spread = (span_means(measures, spans, phones) for phones in (ROUNDED, SPREAD))
    apart = rounded.mean(0) - spread.mean(0) if len(rounded) and len(spread) else np.zeros(3)
    return {"rounded": len(rounded), "spread": len(spread), "gap": float(apart[0]), "width": float(apart[1])}


def span_means(measures: np.ndarray, spans: Sequence[PhoneSpan], phones: Sequence[str]) -> np.ndarray:
    """Mean measures [n, 3] during each of `spans` of one of `phones`; spans that reach beyond the clip are left out."""
    clock, means = np.arange(len(measures)) / FPS, []
    for span in spans:
        if span.phone in phones and span.start_s >= 0 and span.end_s <= clock[-1]:
            times = np.linspace(span.start_s, span.end_s, 5)
            means.append([np.interp(times, clock, column).mean() for column in measures.T])
    return np.asarray(means).reshape(-1, measures.shape[1])
