"""How well `geneface` turns voices into one person's motion, before pictures are drawn: minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most, between
from talkingface import api
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import list_clips
from talkingface.clips.tracked import track_clip
from talkingface.core.config import from_dict
from talkingface.core.errors import InputError
from talkingface.core.lags import best_lag
from talkingface.core.motion import concatenate
from talkingface.core.types import Controls
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.morphable import load_mesh478
from talkingface.face.spoken_mouth import FPS, NUM_MOUTH
from talkingface.systems.geneface import SPEC
from talkingface.systems.geneface.motion import adapt
from talkingface.systems.geneface.motion.config import SpeechConfig
from talkingface.systems.geneface.motion.speech import PersonSpeech
from talkingface.training.speaking_clips import SpeakingClip, describe_clip

RATE_HZ = 16000
HELD_S = {"anchor_en": 20, "person31": 4, "president_fr": 10}
"""Clips, and seconds at their ends that train nothing."""
SEEDED, SEEDS = ("anchor_en", "person31"), 5
"""Clips and seeds on which the adapter must be better than the general networks."""
VOICES = {
    "en": "en_narrative_clean.wav", "fr": "fr_french1.wav", "de": "de_german1.wav", "it": "it_italian1.wav",
    "ja": "ja_japan1.wav", "ko": "ko_korean1.wav", "es": "es_spanish1.wav", "zh": "zh_chinese1haierlizhi.wav",
    "ru": "ru_short.wav", "song": "ja_singing.wav",
}  # fmt: skip
VOICE_S, SILENCE_S = 12, 4
GAP_SLACK, SYNC_SLACK, MAX_LAG = 0.02, 0.02, 3
MEASURES = ("gap", "width", "jaw")


def motion_figures(job: TargetJob) -> Finding:
    """Adapt to each of three people and compare their mouths with the true ones on held-out seconds, with `portrait`'s
    beside them; several seeds; voices of other people and languages; silence. `limit`: how many people and seeds."""
    paths = {clip.slug: clip.path for clip in list_clips(job.folder)}
    loaded = load_weights(find_weights(job.weights or SPEC.default_weights))
    config = from_dict(SpeechConfig, loaded.card["config"]["speech"])
    general, judge = PersonSpeech(loaded.tensors, {}, config), adapt.Judge(load_mesh478())
    rows: list[Row] = []
    for slug in list(HELD_S)[: job.limit]:
        if slug not in paths:
            raise InputError(f"{job.folder} has no clip {slug}")
        person = read_person(slug, paths[slug])
        held = np.arange(len(person)) >= len(person) - HELD_S[slug] * FPS
        seeds = range(1, 1 + (min(SEEDS, job.limit or SEEDS) if slug in SEEDED else 1))
        made = [_fitted(general, person, held, seed) for seed in seeds]
        rows += _own_voice(slug, person, held, made[0], general)
        rows += _seeds(slug, made)
        rows += _voices(slug, person, held, PersonSpeech(loaded.tensors, made[0].tensors, config), job.folder, judge)
    return Finding(rows=rows, details={"ahead_s": {d: general.ahead_s(d) for d in ("best", "low")}})


def read_person(slug: str, path: Path) -> SpeakingClip:
    """A clip on the 25 fps clock."""
    samples = read_audio(path, RATE_HZ).samples.mean(axis=0).astype(np.float32)
    return describe_clip(slug, slug, track_clip(path, stage=None).track, samples, load_mesh478())


def _fitted(general: PersonSpeech, person: SpeakingClip, held: np.ndarray, seed: int) -> adapt.Adapter:
    train = np.arange(len(person)) < int(np.argmax(held)) - int(FPS) // 2
    with TemporaryDirectory() as folder:
        return adapt.adapt_speech(Path(folder), person, general, train, held, seed)


def _own_voice(
    slug: str, person: SpeakingClip, held: np.ndarray, made: adapt.Adapter, general: PersonSpeech
) -> Iterator[Row]:
    """Correlations over the held-out seconds, each at its best lag within three frames."""
    portrait = portrait_mouth(person.samples)
    true = (person.measures - person.neutral_measures)[held]
    for delay in ("best", "low"):
        speech = PersonSpeech(general.general, made.tensors, general.config)
        mouth = np.concatenate(list(speech.stream([person.samples], 1, delay)))
        for k, name in enumerate(MEASURES):
            own, other = (
                best_lag(
                    (shape[: len(person), :NUM_MOUTH] @ general.measures.T)[held[: len(shape)], k], true[:, k], MAX_LAG
                )[1]
                for shape in (mouth, portrait)
            )
            figure = f"{slug}, own voice, {delay}: {name} correlation"
            yield at_least(figure, own, round(other - GAP_SLACK, 3)) if delay == "best" else Row(name=figure, value=own)
    yield between(
        f"{slug}, own voice: movement of gap over the true one", made.figures["best.adapted.gap_moved"], 0.7, 1.3
    )


def _seeds(slug: str, made: list[adapt.Adapter]) -> Iterator[Row]:
    for seed, adapter in enumerate(made, 1):
        before, after = (
            {k: adapter.figures[f"best.{name}.{k}"] for k in ("error_mm", "sync")} for name in ("general", "adapted")
        )
        name = f"{slug}, seed {seed} ({adapter.kind})"
        target = 0.85 if slug in SEEDED else 1.0
        yield at_most(
            f"{name}: landmark error over the general networks'", after["error_mm"] / before["error_mm"], target
        )
        yield at_least(f"{name}: sync confidence", after["sync"], round(before["sync"] - adapt.SYNC_SLACK, 4))


def _voices(
    slug: str, person: SpeakingClip, held: np.ndarray, speech: PersonSpeech, data: Path, judge: adapt.Judge
) -> Iterator[Row]:
    gap = (person.expression[~held, :NUM_MOUTH] @ speech.measures[0]).std()
    for language, file in VOICES.items():
        path = data / "speech" / file
        if not path.is_file():
            continue
        samples = read_audio(path, RATE_HZ).samples.mean(axis=0).astype(np.float32)[: VOICE_S * RATE_HZ]
        mouth = np.concatenate(list(speech.stream([samples], 1)))[:, :NUM_MOUTH]
        other = judge.sync(portrait_mouth(samples)[:, :NUM_MOUTH], samples)
        yield at_least(f"{slug}, {language}: sync confidence", judge.sync(mouth, samples), round(other - SYNC_SLACK, 3))
        moved = float((mouth @ speech.measures[0]).std() / gap)
        yield between(f"{slug}, {language}: deviation of gap over the person's own", moved, 0.7, 1.3)
    quiet = np.concatenate(list(speech.stream([np.zeros(SILENCE_S * RATE_HZ, np.float32)], 1)))[
        -2 * int(FPS) :, :NUM_MOUTH
    ]
    yield at_most(f"{slug}, silence: greatest gap", float((quiet @ speech.measures[0]).max()), 0.012)
    yield at_most(f"{slug}, silence: movement of the mouth's coefficients", float(np.ptp(quiet, axis=0).max()), 0.05)


def portrait_mouth(samples: np.ndarray) -> np.ndarray:
    """`portrait`'s expression [T, 20] of a voice."""
    return concatenate(api.load("portrait").motion_from_audio(None, iter([samples]), Controls(pose="still"))).expression
