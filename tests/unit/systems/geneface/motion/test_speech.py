"""A voice as one person's motion: any split gives the same, the seed decides, the mouth rests in silence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.face.spoken_mouth import NUM_MOUTH, SpeechRows
from talkingface.nn.phones import PAUSE
from talkingface.nn.speech_encoder_config import Delay, SpeechHeadConfig
from talkingface.systems.geneface.motion.config import DELAYS, Hearing, SpeechConfig
from talkingface.systems.geneface.motion.person import TAPS, PersonMouth, RangeKeeper, general_numbers
from talkingface.systems.geneface.motion.pipeline import general_tensors
from talkingface.systems.geneface.motion.speech import PersonSpeech
from talkingface.training.speech_recipe import OUTPUTS

WIDTH = 8
CONFIG = SpeechConfig(
    best=Hearing(delay=Delay(ahead=5, right=2, hop=5), head=SpeechHeadConfig(width=WIDTH, dilations=(1, 2))),
    low=Hearing(delay=Delay(ahead=1, right=1, hop=1), head=SpeechHeadConfig(width=WIDTH, dilations=(1, 2))),
)
MEASURES = np.eye(3, NUM_MOUTH, dtype=np.float32)


@pytest.fixture(scope="module")
def general() -> dict[str, np.ndarray]:
    from talkingface.nn.seeding import seeded
    from talkingface.nn.speech_head import SpeechHead

    width = SpeechEncoder.load(CONFIG.encoder).config.width
    with seeded(1):
        heads = {d: SpeechHead(CONFIG.hearing(d).head, CONFIG.hearing(d).delay, width, OUTPUTS) for d in DELAYS}
    for head in heads.values():  # there is always speech, and the lips never meet
        head.head.weight.data *= 3
        head.head.bias.data[-2:] = torch.tensor([9.0, -9.0])
        head.head.bias.data[NUM_MOUTH + PAUSE] = -9
    rng = np.random.default_rng(1)
    head_motion = {
        "kernel": rng.normal(size=(5, 10, 10)) * 0.01, "response": np.zeros((3, 10)), "limit": np.ones(10),
        "blink": np.hanning(11),
    }  # fmt: skip
    return general_tensors({d: head.state_dict() for d, head in heads.items()}, head_motion)


@pytest.fixture(scope="module")
def adapter() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    tensors: dict[str, np.ndarray] = {
        f"{d}.matrix": rng.normal(size=(TAPS * OUTPUTS, NUM_MOUTH)).astype(np.float32) * 0.1 for d in DELAYS
    }
    tensors |= {f"{d}.bias": np.full(NUM_MOUTH, 0.1, np.float32) for d in DELAYS}
    tensors["mood.kernel"] = rng.normal(size=(9, NUM_MOUTH, NUM_MOUTH)).astype(np.float32) * 0.05
    tensors |= {"rest": np.full(NUM_MOUTH, 0.2, np.float32), "closed": np.array([0.004], np.float32)}
    tensors |= {"lle.known": rng.normal(size=(40, NUM_MOUTH)).astype(np.float32), "lle.share": np.array([0.5])}
    tensors["lle.unit"] = np.ones(NUM_MOUTH, np.float32)
    for number, (inputs, outputs) in enumerate(((16, 8), (8, 16))):
        tensors[f"post.{number}.weight"] = rng.normal(size=(outputs, inputs, 3)).astype(np.float32) * 0.1
        tensors[f"post.{number}.bias"] = np.zeros(outputs, np.float32)
    return tensors | {"post.scale": np.ones(NUM_MOUTH, np.float32)}


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    rng = np.random.default_rng(2)
    loud = np.repeat(rng.uniform(0, 0.2, 12), 2000)
    return (loud * rng.normal(size=24000)).astype(np.float32)[: 640 * 36 + 77]


def shown(speech: PersonSpeech, pieces: list[np.ndarray], seed: int, delay: str) -> np.ndarray:
    return np.concatenate(list(speech.stream(iter(pieces), seed, delay)))


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("sizes", [[1], [100, 5000, 17], [640] * 30])
def test_any_split_gives_exactly_the_same(general, adapter, voice, delay, sizes) -> None:
    speech = PersonSpeech(general, adapter, CONFIG)
    whole = shown(speech, [voice], 3, delay)
    assert whole.shape == (37, 20) and np.ptp(whole, axis=0).min() > 0
    assert np.array_equal(whole, shown(speech, np.split(voice, np.cumsum(sizes)), 3, delay))


def test_the_seed_decides(general, adapter, voice) -> None:
    speech = PersonSpeech(general, adapter, CONFIG)
    first, again, other = (shown(speech, [voice], seed, "best") for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other)[:, :NUM_MOUTH].max() > 0.01 and np.abs(first - other)[:, NUM_MOUTH:].max() > 0


def test_nobody_in_particular_and_empty_voices(general, voice) -> None:
    speech = PersonSpeech(general, {}, CONFIG)
    assert shown(speech, [voice], 1, "low").shape == (37, 20)
    assert list(speech.stream([], 1)) == []
    assert len(shown(speech, [np.zeros(100, np.float32)], 1, "best")) == 1
    assert SpeechConfig().best.ahead_s(speech.encoder.config) <= 0.4
    assert speech.ahead_s("low") < speech.ahead_s("best") <= 0.4


def test_what_comes_after_the_lookahead_changes_nothing(general, adapter, voice) -> None:
    speech = PersonSpeech(general, adapter, CONFIG)
    for delay in DELAYS:
        known = 20 * 640 + round(speech.ahead_s(delay) * 16000)
        other = np.concatenate([voice[:known], 0.1 * np.ones(len(voice) - known, np.float32)])
        a, b = (shown(speech, [sound], 1, delay)[:20, :NUM_MOUTH] for sound in (voice, other))
        assert np.allclose(a, b, atol=1e-5)


def test_the_mouth_comes_to_the_persons_rest_in_silence(adapter) -> None:
    numbers = np.random.default_rng(3).normal(size=(80, OUTPUTS)).astype(np.float32)
    quiet = np.zeros(80, np.float32)
    rows = SpeechRows(
        start=0, mouth=numbers[:, :NUM_MOUTH], voice=quiet, coming=quiet, closure=quiet, teeth=quiet, loudness=quiet,
        level=quiet, loudest=quiet,
    )  # fmt: skip
    mouth = PersonMouth(adapter, MEASURES, np.ones(3), "best", 1).push(numbers, rows)
    assert np.allclose(mouth[-20:, 3:], 0.2, atol=1e-6)
    assert np.ptp(mouth[-20:], axis=0).max() == 0


def test_numbers_for_the_map_are_probabilities() -> None:
    numbers = general_numbers(np.random.default_rng(0).normal(size=(5, OUTPUTS)).astype(np.float32))
    assert numbers.shape == (5, OUTPUTS)
    np.testing.assert_allclose(numbers[:, NUM_MOUTH:-2].sum(1), 1, rtol=1e-5)
    assert ((numbers[:, -2:] > 0) & (numbers[:, -2:] < 1)).all()


def test_strangers_move_the_mouth_as_far_as_the_person_does() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = np.array([0.05, 0.0, 0.02]), np.array([0.03, 0.02, 0.04])
    own = rng.normal(size=(400, 3)) * deviation + mean
    mouth = np.zeros((400, NUM_MOUTH), np.float32)
    voice = np.ones(400)
    for scale, away in ((1.0, 0.0), (0.5, -0.02)):
        mouth[:, :3] = (own - mean) * scale + mean + away
        shown = RangeKeeper(MEASURES, mean, deviation).push(mouth, voice)[100:, :3]
        np.testing.assert_allclose(shown.std(0) / own[100:].std(0), 1, atol=0.2)
        assert np.abs(shown.mean(0) - mean).max() < 0.015
    quiet = RangeKeeper(MEASURES, mean, deviation)
    assert np.array_equal(quiet.push(mouth, np.zeros(400)), mouth)
