"""The adapter: a person's own range and way, learned from seconds; what is worse than the affine map is not taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkingface.audio.read import read_audio
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_shape import parting
from talkingface.systems.geneface.motion import adapt
from talkingface.systems.geneface.motion.speech import PersonSpeech
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.speaking_clips import SpeakingClip
from tests.unit.systems.geneface.motion.test_speech import CONFIG, general

__all__ = ["general"]
SAMPLE = Path(adapt.__file__).parents[3] / "samples" / "speech.flac"
FRAMES = 300


@pytest.fixture(scope="module")
def speech(general) -> PersonSpeech:
    return PersonSpeech(general, {}, CONFIG)


@pytest.fixture(scope="module")
def person(speech) -> SpeakingClip:
    """Someone whose mouth does what the general networks say, in a way of their own."""
    samples = read_audio(SAMPLE, 16000).samples.mean(axis=0)
    samples = np.resize(samples, FRAMES * 640).astype(np.float32)
    heard = adapt.hear(speech, samples, FRAMES, "best", np.random.default_rng(0), copies=0)
    rng = np.random.default_rng(1)
    away = np.eye(16) * 1.6 + 0.2 * rng.normal(size=(16, 16))
    mouth = heard.numbers[:, :16] @ away + 0.05 * rng.normal(size=(FRAMES, 16))
    gap = mouth @ speech.measures[0]
    mouth = mouth - gap.min() * parting(speech.measures)
    expression = np.concatenate([mouth, 0.1 * rng.normal(size=(FRAMES, 4))], axis=1).astype(np.float32)
    model = load_mesh478()
    return SpeakingClip(
        slug="clip", person="person", samples=samples, expression=expression,
        neutral_measures=np.zeros(3, np.float32), measures=expression[:, :16] @ measure_matrix(model).T,
        pose=0.1 * rng.normal(size=(FRAMES, 6)).astype(np.float32), blink=np.zeros((FRAMES, 1), np.float32),
        gaze=np.zeros((FRAMES, 2), np.float32), weight=np.ones(FRAMES, np.float32),
    )  # fmt: skip


def halves() -> tuple[np.ndarray, np.ndarray]:
    frames = np.arange(FRAMES)
    return frames < 200, frames >= 215


def test_the_map_learns_the_person(speech, person, tmp_path) -> None:
    made = adapt.adapt_speech(tmp_path, person, speech, *halves(), seed=1)
    figures = made.figures
    assert figures["best.adapted.error_mm"] < 0.5 * figures["best.general.error_mm"]
    assert 0.7 < figures["best.adapted.gap_moved"] < 1.3
    assert abs(figures["late_s"]) <= 0.04 and figures["best.adapted.gap"] > figures["best.general.gap"]
    assert sum(value.nbytes for value in made.tensors.values()) < 150_000
    assert len(next(PersonSpeech(speech.general, made.tensors, CONFIG).stream([person.samples], 1))[0]) == 20


def test_late_lips_are_found(speech, person, tmp_path) -> None:
    from dataclasses import replace

    late = replace(person, expression=np.roll(person.expression, 3, axis=0))
    heard = adapt.hear(speech, person.samples, FRAMES, "best", np.random.default_rng(0), copies=0)
    own = adapt.own_motion(late, heard.numbers, halves()[0], speech.measures)
    assert own.late_s == pytest.approx(0.12, abs=0.02)
    np.testing.assert_allclose(own.shape[10:150], person.expression[10:150, :16], atol=0.35)


def test_same_seed_same_adapter(speech, person, tmp_path) -> None:
    first, again = (adapt.adapt_speech(tmp_path / str(k), person, speech, *halves(), seed=1) for k in range(2))
    assert first.tensors.keys() == again.tensors.keys()
    assert all(np.array_equal(value, again.tensors[name]) for name, value in first.tensors.items())
