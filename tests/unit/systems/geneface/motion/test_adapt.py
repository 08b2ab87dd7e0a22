"""The adapter: a person's own range and way, learned from seconds; what is worse than the affine map is not taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from talkingface.audio.read import read_audio
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_shape import parting
from talkingface.nn.speech_stream import HeadStream
from talkingface.systems.geneface.motion import adapt, postnet, tune
from talkingface.systems.geneface.motion.person import PostStream, tuned
from talkingface.systems.geneface.motion.speech import PersonSpeech
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.speaking_clips import SpeakingClip
from tests.unit.systems.geneface.motion.test_speech import CONFIG, general

__all__ = ["general"]
SAMPLE = Path(adapt.__file__).parents[3] / "samples" / "speech.flac"
FRAMES = 260


@pytest.fixture(scope="module")
def speech(general) -> PersonSpeech:
    return PersonSpeech(general, {}, replace(CONFIG, tune_steps=4))


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


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(postnet, "STEPS", 8)


def halves() -> tuple[np.ndarray, np.ndarray]:
    frames = np.arange(FRAMES)
    return frames < 180, frames >= 195


def test_the_map_learns_the_person(speech, person, tmp_path) -> None:
    made = adapt.adapt_speech(tmp_path, person, speech, *halves(), seed=1)
    figures = made.figures
    assert figures["best.adapted.error_mm"] < 0.5 * figures["best.general.error_mm"]
    assert 0.7 < figures["best.adapted.gap_moved"] < 1.3
    assert abs(figures["late_s"]) <= 0.04 and figures["best.adapted.gap"] > figures["best.general.gap"]
    assert sum(value.nbytes for value in made.tensors.values()) < 200_000
    assert len(next(PersonSpeech(speech.general, made.tensors, CONFIG).stream([person.samples], 1))[0]) == 20


def test_the_head_moves_as_far_as_the_persons_does(speech, person) -> None:
    slow = gaussian_filter1d(np.random.default_rng(3).normal(size=(FRAMES, 6)), 8, axis=0)
    slow *= np.array([0.1, 0.02, 0.05, 0.03, 0.03, 0.01]) / slow.std(0)
    clip = replace(person, pose=slow.astype(np.float32))
    heard = adapt.hear(speech, person.samples, FRAMES, "best", np.random.default_rng(0), copies=0)
    tensors = adapt.manner_tensors(speech, clip, heard.rows, np.ones(FRAMES, bool), 1)
    spoken = list(PersonSpeech(speech.general, tensors, CONFIG).spoken([np.tile(person.samples, 3)], 2))
    ratio = np.concatenate([s.head.pose for s in spoken]).std(0) / slow.std(0)
    assert ((ratio > 0.5) & (ratio < 1.6)).all()
    assert adapt.manner_tensors(speech, clip, heard.rows, np.arange(FRAMES) < 50, 1) == {}


def test_late_lips_are_found(speech, person, tmp_path) -> None:
    late = replace(person, expression=np.roll(person.expression, 3, axis=0))
    heard = adapt.hear(speech, person.samples, FRAMES, "best", np.random.default_rng(0), copies=0)
    own = adapt.own_motion(late, heard.numbers, halves()[0], speech.measures)
    assert own.late_s == pytest.approx(0.12, abs=0.02)
    np.testing.assert_allclose(own.shape[10:150], person.expression[10:150, :16], atol=0.35)


def test_same_seed_same_adapter(speech, person, tmp_path) -> None:
    first, again = (adapt.adapt_speech(tmp_path / str(k), person, speech, *halves(), seed=1) for k in range(2))
    assert first.tensors.keys() == again.tensors.keys()
    assert all(np.array_equal(value, again.tensors[name]) for name, value in first.tensors.items())


def test_the_affine_map_stays_where_the_adversary_is_worse() -> None:
    affine = (1.0, 0.4)
    cases = {
        "worse": ((1.05, 0.5), "affine"),
        "hardly better": ((0.99, 0.5), "affine"),
        "out of step": ((0.8, 0.3), "affine"),
        "better": ((0.9, 0.41), "postnet"),
    }
    for found, kind in cases.values():
        chosen, extra = adapt.best_of(
            lambda extra, found=found: found if extra else affine, [("postnet", {"x": np.zeros(1)})]
        )
        assert chosen == kind and bool(extra) == (kind == "postnet")


def test_a_judge_that_has_won_is_no_judge(speech) -> None:
    rng = np.random.default_rng(0)
    made, real = rng.normal(size=(2, 120, 16))
    used = np.ones(120, bool)
    found = postnet.stops(postnet.AdapterRecipe([made], real, used, (made, real)), 1)
    assert len(found) == postnet.LOOKS
    found[0].balance = (0.5, 0.95)
    assert not found[0].even
    found[0].balance = (0.45, 0.6)
    assert found[0].even


def test_the_stream_of_the_post_net_is_the_network() -> None:
    recipe = postnet.AdapterRecipe(
        [np.zeros((80, 16))], np.zeros((80, 16)), np.ones(80, bool), (np.zeros((80, 16)),) * 2
    )
    network = recipe.networks()["postnet"]
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(std=0.3)
    rows = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    unit = np.linspace(0.5, 2, 16).astype(np.float32)
    tensors = {
        f"{n}.{k}": v.numpy() for n, layer in enumerate(recipe.postnet.layers) for k, v in layer.state_dict().items()
    }
    stream = PostStream(tensors | {"scale": unit})
    made = np.concatenate([stream.push(part) for part in np.split(rows, [1, 3, 20])])
    with torch.no_grad():
        wanted = network(torch.from_numpy(rows / unit)[None])[0].numpy() * unit
    np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)


def test_a_tuned_head_is_the_general_one_at_first_and_the_same_in_numpy(speech) -> None:
    how, head = CONFIG.best, speech.heads["best"]
    tokens = np.random.default_rng(0).normal(size=(160, 384)).astype(np.float32)
    used = np.ones(80, bool)
    recipe = tune.TuneRecipe(head, how, load_mesh478(), [tokens], np.zeros((80, 16)), used, np.full(16, 0.3))
    network = recipe.networks()["tuned"].eval()
    before = HeadStream(head, how.head, how.delay).push(tokens)
    with torch.no_grad():
        found = network(torch.from_numpy(tokens)[None])[0].numpy()
        np.testing.assert_allclose(found[: len(before), :16], before[:, :16] + 0.3, atol=1e-4)
        for value in network.parameters():
            value.normal_(std=0.05)
        found = network(torch.from_numpy(tokens)[None])[0].numpy()
    after = HeadStream(tuned(head, recipe.tuned.tensors()), how.head, how.delay).push(tokens)
    np.testing.assert_allclose(found[: len(after)], after, atol=1e-4)
