"""Speech to motion: NumPy equals torch, any split equals any other, the mouth rests in silence, closes on /p b m/."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.audio.mel import HOP, LevelTracker, normalise, speech_columns
from talkingface.core.types import Controls
from talkingface.systems.portrait.init_weights import init_tensors
from talkingface.systems.portrait.motion.audio2motion import (
    COLUMNS_PER_FRAME,
    FUTURE,
    LOOKAHEAD,
    SAMPLES_PER_FRAME,
    MouthStream,
    SpeechRows,
    speech_rows,
)
from talkingface.systems.portrait.motion.config import MouthConfig
from talkingface.systems.portrait.motion.network import MouthNet
from talkingface.systems.portrait.motion.speech import MouthShaper, SpeechToMotion

TINY = MouthConfig(width=8, front=6, dilations=(1, 2))


@pytest.fixture(scope="module")
def networks() -> list[MouthNet]:
    torch.manual_seed(0)
    return [MouthNet(TINY).eval() for _ in range(TINY.members)]


@pytest.fixture(scope="module")
def tensors(networks: list[MouthNet]) -> dict[str, np.ndarray]:
    states = [network.state_dict().items() for network in networks]
    mouth = {f"audio2motion.{k}.{name}": value.numpy() for k, state in enumerate(states) for name, value in state}
    return init_tensors(TINY) | mouth


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    rng = np.random.default_rng(2)
    loud = np.repeat(rng.uniform(0, 0.2, 20), 2000)
    return (loud * rng.normal(size=40000)).astype(np.float32)[: 640 * 61 + 123]


def cuts(voice: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(voice, np.cumsum(sizes))


def test_stream_equals_the_mean_network_over_the_whole_voice(
    networks: list[MouthNet], tensors: dict, voice: np.ndarray
) -> None:
    mouth = {name[13:]: value for name, value in tensors.items() if name.startswith("audio2motion.")}
    rows = np.concatenate([part.mouth for part in speech_rows(mouth, TINY, [voice])])
    quiet = np.concatenate([voice, np.zeros(640 * 8, np.float32)])
    columns = speech_columns(quiet)
    values = normalise(columns, LevelTracker().push(columns))[: COLUMNS_PER_FRAME * (len(rows) + LOOKAHEAD)]
    with torch.no_grad():
        answers = [network(torch.from_numpy(values)[None])[0, LOOKAHEAD:, :16] for network in networks]
        expected = torch.stack(answers).mean(0).numpy()
    assert len(rows) == 62
    np.testing.assert_allclose(rows, expected, atol=2e-4)


def test_init_tensors_move() -> None:
    voice = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    motions = list(SpeechToMotion(init_tensors(TINY), TINY).stream([voice], Controls()))
    assert motions[0].expression.shape == (5, 20)
    assert np.ptp(np.concatenate([m.expression for m in motions]), axis=0).max() > 0


def test_numpy_network_keeps_its_memory(networks: list[MouthNet]) -> None:
    values = np.random.default_rng(3).normal(size=(80, 80)).astype(np.float32)
    stream = MouthStream({k: v.numpy() for k, v in networks[0].state_dict().items()}, TINY)
    parts = np.concatenate([stream.push(values[:4]), stream.push(values[4:44]), stream.push(values[44:])])
    with torch.no_grad():
        np.testing.assert_allclose(parts, networks[0](torch.from_numpy(values)[None])[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("sizes", [[1], [100, 5000, 17], [640] * 40, [39000]])
def test_any_split_gives_exactly_the_same(tensors: dict, voice: np.ndarray, sizes: list[int]) -> None:
    system = SpeechToMotion(tensors, TINY)
    whole = list(system.stream([voice], Controls(seed=5)))
    parts = list(system.stream(iter(cuts(voice, sizes)), Controls(seed=5)))
    assert [m.start for m in whole] == [m.start for m in parts] == list(range(0, 62, 5))
    for a, b in zip(whole, parts, strict=True):
        assert np.array_equal(a.expression, b.expression)
        assert np.array_equal(a.pose, b.pose)
        assert np.array_equal(a.blink, b.blink)


def test_lookahead_is_under_200_ms(tensors: dict, voice: np.ndarray) -> None:
    assert (FUTURE + SAMPLES_PER_FRAME) / 16 < 200
    mouth = {name[13:]: value for name, value in tensors.items() if name.startswith("audio2motion.")}
    changed = voice.copy()
    frame = 20
    changed[SAMPLES_PER_FRAME * frame + FUTURE + SAMPLES_PER_FRAME :] = 0
    rows = [np.concatenate([part.mouth for part in speech_rows(mouth, TINY, [v])]) for v in (voice, changed)]
    assert np.array_equal(rows[0][: frame + 1], rows[1][: frame + 1])
    assert not np.array_equal(rows[0][frame + 1], rows[1][frame + 1])
    assert HOP * COLUMNS_PER_FRAME == SAMPLES_PER_FRAME


def test_controls(tensors: dict, voice: np.ndarray) -> None:
    system = SpeechToMotion(tensors, TINY)

    def first(**controls: float | str | int) -> list:
        return list(system.stream([voice], Controls(**controls)))  # type: ignore[arg-type]

    plain, other = first(seed=1), first(seed=2)
    assert not np.array_equal(plain[3].pose, other[3].pose)
    assert np.array_equal(plain[3].expression[:, :16], other[3].expression[:, :16])
    assert not any(m.pose.any() for m in first(pose="still"))
    assert not any(m.blink.any() for m in first(blink=0.0))
    np.testing.assert_allclose(first(seed=1, expression_scale=2.0)[3].expression, 2 * plain[3].expression, rtol=1e-5)


def test_tiny_and_empty_voices(tensors: dict) -> None:
    system = SpeechToMotion(tensors, TINY)
    assert list(system.stream([], Controls())) == []
    motions = list(system.stream([np.zeros(100, np.float32)], Controls()))
    assert sum(len(m) for m in motions) == 1


def rows(gaps: np.ndarray, voice: np.ndarray, closure: np.ndarray) -> SpeechRows:
    mouth = np.zeros((len(gaps), 16), np.float32)
    mouth[:, 0], mouth[:, 3] = gaps, 0.5
    return SpeechRows(start=0, mouth=mouth, voice=voice, coming=voice, closure=closure, loudness=voice, level=voice)


def test_shaper_rests_closes_and_never_crosses_the_lips() -> None:
    measures = np.eye(3, 16, dtype=np.float32)
    t = 120
    voice = np.r_[np.zeros(10), np.ones(30), np.zeros(10), np.ones(10), np.zeros(60)].astype(np.float32)
    closure = np.zeros(t, np.float32)
    closure[16] = 0.9
    gaps = np.full(t, 0.1, np.float32)
    gaps[14] = -0.1
    mouth = MouthShaper(measures, 1.5).push(rows(gaps, voice, closure))
    assert mouth[:10, 0].max() <= MouthShaper.FIRST_GAP + 1e-6
    assert mouth[35, 0] == pytest.approx(0.15, abs=0.005)
    assert mouth[45, 0] == pytest.approx(0.15, abs=0.005)
    assert mouth[14, 0] == pytest.approx(0, abs=1e-7) and mouth[16, 0] == pytest.approx(0, abs=1e-7)
    assert mouth[20, 3] == pytest.approx(0.75)
    assert not mouth[-10:].any()
    assert (np.diff(mouth[60:, 0]) <= 1e-5).all()
