"""What speech networks learn from: clips with how late their lips are, and speech of known phones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from talkingface.audio.phones import RATE_HZ, grid_sentence
from talkingface.clips.manifest import listed_lags
from talkingface.core.lags import correlation_at
from talkingface.face.morphable import LinearFaceModel
from talkingface.training.speaking_clips import FPS, SpeakingClip, speaking_clips
from talkingface.training.speech_recipe import SpeechRecipe, clip_targets
from talkingface.training.synthetic_speech import SpokenText, align, read_voices, speak

SENTENCES_PER_VOICE = 150
VALIDATION_S = 2.4
OWN = "grid_s1_"
"""Val clips of a person who is in train."""
OFFSET_RATE = 100
OFFSET_STEPS = np.arange(-24, 25)


@dataclass(frozen=True, eq=False)
class SpeechMaterial:
    """The speaking clips of a data folder and its speech of known phones, read once and only when they are needed.

    `free_only` keeps what is public domain or CC BY; `without` names people of whom nothing is used.
    """

    data: Path
    prepared: Path
    model: LinearFaceModel
    free_only: bool
    seed: int
    without: tuple[str, ...] = ()

    @cached_property
    def clips(self) -> list[SpeakingClip]:
        """The training clips."""
        found = speaking_clips(self.prepared, self.model, split="train", free_only=self.free_only)
        return [clip for clip in found if clip.person not in self.without]

    @cached_property
    def spoken(self) -> list[list[SpokenText]]:
        """Kinds of speech with known phones: synthetic, GRID sentences, and the data folder's voices."""
        kinds = (
            speak(SENTENCES_PER_VOICE, self.seed),
            known_speech(self.clips),
            read_voices(self.data / "voices"),
        )
        return [texts for texts in map(list, kinds) if texts]

    @cached_property
    def validation(self) -> list[SpeakingClip]:
        """Clips of people who are not in train, long enough for a correlation."""
        found = speaking_clips(self.prepared, self.model, split="val")
        return [
            clip
            for clip in found
            if not clip.slug.startswith(OWN)
            and len(clip.samples) >= VALIDATION_S * RATE_HZ
            and np.abs(clip.samples).max() > 1e-3
        ]

    @cached_property
    def listed_offsets(self) -> dict[str, float]:
        """How late each clip's lips are by the data folder's manifest (column `lag_pred`): the median of its person.

        It says where zero is: offsets that all clips share could not be found by training on them.
        """
        sure = listed_lags(self.data)
        return {clip.slug: sure[clip.person] for clip in self.clips if clip.person in sure}


def known_speech(clips: Sequence[SpeakingClip]) -> Iterator[SpokenText]:
    """The sentences of GRID clips with their phones. What a recogniser hears in other clips is less sure than the
    phones of synthetic voices."""
    for clip in clips:
        words = _grid_words(clip.slug)
        if words is not None and (text := align(clip.samples, words)) is not None:
            yield text


def lip_offsets(recipe: SpeechRecipe, clips: Sequence[SpeakingClip], listed_s: Mapping[str, float]) -> dict[str, float]:
    """How late each clip's lips are against what a trained network expects from its sound, in seconds.

    Clips of one person come from one source and share most of their offset: each is measured in steps of
    10 ms within 0.24 s, drawn towards the person's, which is drawn towards `listed_s` (by clip; 0 if absent).
    """
    curves = {clip.slug: _agreement(recipe.predict(clip, "best"), clip_targets(clip)[:, -4:-1]) for clip in clips}
    people: dict[str, list[str]] = {}
    for clip in clips:
        people.setdefault(clip.person, []).append(clip.slug)
    lags = OFFSET_STEPS / OFFSET_RATE
    offsets = {}
    for slugs in people.values():
        near = (lags - listed_s.get(slugs[0], 0.0)) ** 2 / (2 * 0.03**2)
        shared = lags[np.argmax(np.mean([curves[slug] for slug in slugs], axis=0) - near)]
        for slug in slugs:
            offsets[slug] = float(lags[np.argmax(curves[slug] - (lags - shared) ** 2 / (2 * 0.03**2))])
    return offsets


def _agreement(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Log likelihood of each lag of `OFFSET_STEPS` from the correlations of gap and jaw."""
    times = np.arange(0, len(true) - 1, FPS / OFFSET_RATE)
    fine = [[np.interp(times, np.arange(len(rows)), rows[:, k]) for k in (0, 2)] for rows in (predicted, true)]
    likelihood = np.zeros(len(OFFSET_STEPS))
    for a, b in zip(*fine, strict=True):
        values = np.array([correlation_at(a, b, int(lag)) for lag in OFFSET_STEPS])
        # about every eighth frame says something new
        likelihood -= len(true) / 16 * np.log(1 - np.clip(values, 0, 0.98) ** 2)
    return likelihood


def _grid_words(slug: str) -> str | None:
    """What is said in a clip of the GRID corpus, by its name; None for other clips."""
    if not slug.startswith("grid_"):
        return None
    try:
        return grid_sentence(slug.rpartition("_")[2][:6])
    except ValueError:
        return None
