"""Speech to motion: NumPy equals torch, any split equals any other, the mouth rests in silence, closes on /p b m/."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.core.types import Controls
from talkingface.face.spoken_mouth import MouthShaper, SpeechRows
from talkingface.systems.portrait.config import preset
from talkingface.systems.portrait.init_weights import init_tensors
from talkingface.systems.portrait.motion.speech import SpeechToMotion

TINY = preset("tiny")


@pytest.fixture(scope="module")
def system() -> SpeechToMotion:
    return SpeechToMotion(init_tensors(TINY), TINY)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    rng = np.random.default_rng(2)
    loud = np.repeat(rng.uniform(0, 0.2, 20), 2000)
    return (loud * rng.normal(size=40000)).astype(np.float32)[: 640 * 61 + 123]


def cuts(voice: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(voice, np.cumsum(sizes))


def test_untrained_networks_move(system: SpeechToMotion, voice: np.ndarray) -> None:
    motions = list(system.stream([voice], Controls()))
    assert motions[0].expression.shape == (25, 20)
    assert np.ptp(np.concatenate([m.expression for m in motions]), axis=0).max() > 0


@pytest.mark.parametrize("sizes", [[1], [100, 5000, 17], [640] * 40, [39000]])
@pytest.mark.parametrize(("delay", "hop"), [("best", 25), ("low", 1)])
def test_any_split_gives_exactly_the_same(
    system: SpeechToMotion, voice: np.ndarray, sizes: list[int], delay: str, hop: int
) -> None:
    controls = Controls(seed=5, delay=delay)  # type: ignore[arg-type]
    whole = list(system.stream([voice], controls))
    parts = list(system.stream(iter(cuts(voice, sizes)), controls))
    assert [m.start for m in whole] == [m.start for m in parts] == list(range(0, 62, hop))
    for a, b in zip(whole, parts, strict=True):
        assert np.array_equal(a.expression, b.expression)
        assert np.array_equal(a.pose, b.pose)
        assert np.array_equal(a.blink, b.blink)
        assert np.array_equal(a.gaze, b.gaze)


def test_controls(system: SpeechToMotion, voice: np.ndarray) -> None:
    def first(**controls: float | str | int) -> list:
        return list(system.stream([voice], Controls(**controls)))  # type: ignore[arg-type]

    plain, other = first(seed=1), first(seed=2)
    assert not np.array_equal(plain[1].pose, other[1].pose)
    assert np.array_equal(plain[1].expression[:, :16], other[1].expression[:, :16])
    assert not any(m.pose.any() for m in first(pose="still"))
    assert not any(m.blink.any() for m in first(blink=0.0))
    assert not any(m.gaze.any() for m in first(gaze=0.0))
    still = first(seed=3, pose="still")
    assert all(np.array_equal(a.gaze, b.gaze) for a, b in zip(still, first(seed=3), strict=True))
    np.testing.assert_allclose(first(seed=1, expression_scale=2.0)[1].expression, 2 * plain[1].expression, rtol=1e-5)


def test_tiny_and_empty_voices(system: SpeechToMotion) -> None:
    assert list(system.stream([], Controls())) == []
    motions = list(system.stream([np.zeros(100, np.float32)], Controls()))
    assert sum(len(m) for m in motions) == 1


def rows(gaps: np.ndarray, voice: np.ndarray, closure: np.ndarray, teeth: np.ndarray) -> SpeechRows:
    mouth = np.zeros((len(gaps), 16), np.float32)
    mouth[:, 0], mouth[:, 3] = gaps, 0.5
    return SpeechRows(
        start=0, mouth=mouth, voice=voice, coming=voice, closure=closure, teeth=teeth, loudness=voice, level=voice,
        loudest=voice,
    )  # fmt: skip


def test_shaper_rests_closes_and_never_crosses_the_lips() -> None:
    measures = np.eye(3, 16, dtype=np.float32)
    t = 120
    voice = np.r_[np.zeros(10), np.ones(30), np.zeros(10), np.ones(10), np.zeros(60)].astype(np.float32)
    closure, teeth = np.zeros((2, t), np.float32)
    closure[16], teeth[30] = 0.9, 0.9
    gaps = np.full(t, 0.1, np.float32)
    gaps[14] = -0.1
    mouth = MouthShaper(measures, np.array([1.5, 1.0, 1.0])).push(rows(gaps, voice, closure, teeth))
    assert mouth[:10, 0].max() <= MouthShaper.FIRST_GAP + 1e-6
    assert mouth[35, 0] == pytest.approx(0.15, abs=0.005)
    assert mouth[45, 0] == pytest.approx(0.15, abs=0.005)
    assert mouth[14, 0] == pytest.approx(0, abs=1e-7) and mouth[16, 0] == pytest.approx(0, abs=1e-7)
    assert mouth[30, 0] == pytest.approx(MouthShaper.TEETH_GAP) and mouth[29, 0] > 0.1
    assert mouth[20, 3] == pytest.approx(0.5)
    assert not mouth[-10:].any()
    assert (np.diff(mouth[60:, 0]) <= 1e-5).all()
