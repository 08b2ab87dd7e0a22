"""Whether lips follow speech in other languages as well as in English: `bench --what languages`.

The sync expert judges points alone: its pictures are left blank, for real and generated mouths alike, so that nothing
need be drawn. On real clips it finds the same offsets that way, with about nine tenths of the confidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.motion.speaking import (
    LONGEST_PX,
    RATE_HZ,
    SpeechFile,
    delays,
    open_speaker,
    shipped_face,
    sound_of,
    speech_files,
    wanted_clips,
)
from benchmarks.targets import Finding, Row, TargetJob, at_least
from talkingface.clips.manifest import manifest_rows
from talkingface.clips.tracked import track_clip
from talkingface.core.progress import report_progress
from talkingface.face.mouth_view import VIEW_FPS, VIEW_HW, MouthView, mouth_shape, mouth_view
from talkingface.metrics.sync_expert import SyncExpert

LANGUAGES = ("en", "de", "fr", "it", "ja", "ko", "es", "zh", "ru")
REFERENCE = "en"
LEAST = 0.85
HEARD_S, WINDOW_S = 8.0, 4.0
MOST_FILES = 12
NOT_PLAIN = ("apollo11", "en_narrative_cafe0db", "fr_bonjour", "ja_singing")
"""Noise, long pauses, song: they say little about a language."""


def languages(job: TargetJob) -> Finding:
    """Sync confidence of generated mouths by language, over that of English; real clips of the same length beside."""
    speaker, expert, settings = open_speaker(job), SyncExpert.load(), delays()
    neutral = shipped_face(speaker.model)
    found: list[dict[str, Any]] = []
    for number, language in enumerate(LANGUAGES):
        report_progress("languages", number, len(LANGUAGES))
        for file in chosen_files(speech_files(job, language=language))[: job.limit]:
            samples = file.read(HEARD_S)
            for delay, controls in settings.items():
                view = blank_view(neutral + speaker.moves(samples, controls))
                found.append(_score(expert, view, samples, language) | {"file": file.slug, "delay": delay})
    real = [score for score in _real(job, expert) if np.isfinite(score["confidence"])]
    rows = [row for delay in settings for row in language_rows([f for f in found if f["delay"] == delay], delay)]
    return Finding(rows=[*rows, *_real_rows(real)], details={"files": found, "real clips": real})


def chosen_files(files: Sequence[SpeechFile]) -> list[SpeechFile]:
    """Plain speech, at most twelve files, spread over the list."""
    plain = [file for file in files if file.slug not in NOT_PLAIN]
    return plain[:: -(-len(plain) // MOST_FILES)] if plain else []


def blank_view(points: np.ndarray) -> MouthView:
    """What the expert sees of points [T, 478, 3] at 25 fps without pictures."""
    count = len(points)
    crops = np.zeros((count, *VIEW_HW), np.uint8)
    return MouthView(crops=crops, shape=mouth_shape(points), seen=np.ones(count, bool))


def _score(expert: SyncExpert, view: MouthView, samples: np.ndarray, language: str) -> dict[str, Any]:
    """Mean confidence and median offset over windows of four seconds, one each second."""
    scores = [score for _, score in expert.windows(view, samples, WINDOW_S) if np.isfinite(score.confidence)]
    confidence = float(np.mean([score.confidence for score in scores])) if scores else float("nan")
    offset = float(np.median([score.offset_frames for score in scores])) if scores else float("nan")
    return {"language": language, "confidence": confidence, "offset_frames": offset, "windows": len(scores)}


def _real(job: TargetJob, expert: SyncExpert) -> Iterator[dict[str, Any]]:
    """The same of the val clips that are long enough."""
    names = {row["slug"]: row.get("language", "") for row in manifest_rows(job.folder)}
    for entry in wanted_clips(job, lambda entry: entry.split == "val"):
        samples = sound_of(entry)
        if samples is None or len(samples) < WINDOW_S * RATE_HZ:
            continue
        track = track_clip(entry.path, longest_px=LONGEST_PX).track
        crops = np.zeros((len(track), *VIEW_HW), np.uint8)
        view = mouth_view(crops, track.landmarks, track.times_s, track.confidence)
        if len(view) >= WINDOW_S * VIEW_FPS:
            yield _score(expert, view, samples, names.get(entry.slug, "")) | {"clip": entry.slug}


def language_rows(scores: Sequence[Mapping[str, Any]], delay: str) -> Iterator[Row]:
    """Mean confidence of English, and of each other language over it."""
    means = {}
    for language in LANGUAGES:
        values = [score["confidence"] for score in scores if score["language"] == language]
        if values:
            means[language] = float(np.mean(values)), len(values)
    if REFERENCE not in means:
        return
    english, count = means[REFERENCE]
    yield Row(name=f"{delay}: sync confidence of English ({count} files)", value=english)
    for language, (value, count) in means.items():
        if language != REFERENCE:
            yield at_least(f"{delay}: {language} over English ({count} files)", value / english, LEAST)


def _real_rows(scores: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for name, chosen in (
        ("English", [score for score in scores if score["language"] == REFERENCE]),
        ("other languages", [score for score in scores if score["language"] not in (REFERENCE, "?", "")]),
    ):
        if chosen:
            value = float(np.mean([score["confidence"] for score in chosen]))
            yield Row(name=f"real clips, {name} ({len(chosen)}): sync confidence", value=value)
