"""A style laid on motion: mouths move as far, as wide and as fast as it says, and what is shut stays shut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from talkingface.core.motion import concatenate, cut_motion
from talkingface.core.style import AVERAGE, Style
from talkingface.core.types import Controls, Motion
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import measure_matrix
from talkingface.face.style import BLINK, MOUTH, SHUT, WIDEST, style_factors, styled_motion

MATRIX = measure_matrix(load_mesh478()).astype(np.float64)
COUNT, QUIET = 400, 20
SPEED_TAKES = 2 * np.pi * 2.3 / 25


def _speech() -> Motion:
    """Rows whose lips open and meet, twice a second and irregularly, after a quiet beginning."""
    rng, t = np.random.default_rng(0), np.arange(COUNT)
    gap = np.maximum(0.05 * (np.sin(SPEED_TAKES * t) + np.sin(0.7 * SPEED_TAKES * t + 1)) + 0.03, 0)
    wanted = np.stack([gap, 0.03 * np.sin(0.5 * t), 0.5 * gap], axis=1)
    rest = rng.normal(size=(COUNT, 16)) @ (np.eye(16) - np.linalg.pinv(MATRIX) @ MATRIX).T
    mouth = wanted @ np.linalg.pinv(MATRIX).T + 0.1 * rest
    mouth[:QUIET] = 0
    expression = np.concatenate([mouth, rng.normal(size=(COUNT, 4))], axis=1).astype(np.float32)
    pose = rng.normal(scale=0.02, size=(COUNT, 6)).astype(np.float32)
    return Motion(
        space=MESH478.name, space_version=MESH478.version, expression=expression, pose=pose, fps=25,
        blink=np.zeros((COUNT, 1), np.float32), gaze=np.zeros((COUNT, 2), np.float32),
    )  # fmt: skip


def _pieces(motion: Motion, cuts: list[int]) -> Iterator[Motion]:
    for first, end in zip([0, *cuts], [*cuts, len(motion)], strict=True):
        yield cut_motion(motion, first, end)


def _laid(style: Style, motion: Motion | None = None, cuts: list[int] | None = None, **controls: object) -> Motion:
    motion = motion or _speech()
    settings = Controls(style=style, **controls)  # type: ignore[arg-type]
    return concatenate(styled_motion(lambda _: _pieces(motion, cuts or []), settings))


def _measures(motion: Motion) -> np.ndarray:
    return motion.expression[:, :16].astype(np.float64) @ MATRIX.T


def _pace(rows: np.ndarray) -> float:
    return float((rows[2:] - rows[:-2]).std() / rows.std())


def test_the_average_speaker_changes_nothing() -> None:
    laid = _laid(AVERAGE)
    for part in ("expression", "pose", "blink", "gaze"):
        np.testing.assert_allclose(getattr(laid, part), getattr(_speech(), part), atol=1e-6)


def test_lips_open_wider_and_corners_move_farther_as_the_style_says() -> None:
    style = Style(opening=1.6 * AVERAGE.opening, width=0.7 * AVERAGE.width, jaw=1.3 * AVERAGE.jaw)
    before, after = _measures(_speech()), _measures(_laid(style))
    apart = (before[:, 0] > 0.05) & (before[:, 0] < 0.15)
    np.testing.assert_allclose(after[apart, 0], 1.6 * before[apart, 0], rtol=1e-4)
    np.testing.assert_allclose(after[:, 1:], before[:, 1:] * [0.7, 1.3], atol=1e-6)


@pytest.mark.parametrize("size", [0.1, 8])
@pytest.mark.parametrize("pace", [0.5, 2])
def test_shut_lips_stay_shut_and_no_lip_passes_the_other(size: float, pace: float) -> None:
    figures = {name: size * getattr(AVERAGE, name) for name in ("opening", "width", "jaw")}
    before, laid = _measures(_speech())[:, 0], _laid(Style(**figures, pace=pace * AVERAGE.pace))
    after = _measures(laid)[:, 0]
    shut = before < SHUT
    assert shut.sum() > 50
    np.testing.assert_allclose(after[shut], before[shut], atol=1e-5)
    assert after.min() > -1e-5 and after.max() < WIDEST[1]
    assert not laid.expression[: QUIET - 1, :16].any()  # silence


@pytest.mark.parametrize("pace", [0.88, 1.15])
def test_crisper_and_softer_mouths_move_as_far(pace: float) -> None:
    before, after = _measures(_speech())[QUIET:], _measures(_laid(Style(pace=pace * AVERAGE.pace)))[QUIET:]
    assert np.sign(_pace(after[:, 0]) - _pace(before[:, 0])) == np.sign(pace - 1)
    assert after[:, 0].std() == pytest.approx(before[:, 0].std(), rel=0.08)


def test_any_split_gives_the_same() -> None:
    style = Style(opening=0.2, pace=13, yaw=5)
    whole = _laid(style)
    for cuts in ([1, 2, 3, 50], [5 * k for k in range(1, COUNT // 5)], [COUNT - 1]):
        parts = _laid(style, cuts=cuts)
        for part in ("expression", "pose", "blink", "gaze"):
            assert np.array_equal(getattr(parts, part), getattr(whole, part)), (cuts, part)


def test_only_a_generated_head_is_scaled() -> None:
    style, motion = Style(pitch=2 * AVERAGE.pitch, yaw=0.5 * AVERAGE.yaw), _speech()
    np.testing.assert_allclose(_laid(style).pose, motion.pose * [2, 0.5, 1, 1, 1, 1], rtol=1e-5)
    assert np.array_equal(_laid(style, pose="source").pose, motion.pose)
    shown = replace(motion, source=np.zeros((COUNT, 1), np.float32))
    kept = _laid(style, shown)
    assert np.array_equal(kept.pose, motion.pose)
    assert np.array_equal(kept.expression[:, 16:], motion.expression[:, 16:])


def test_blinks_are_asked_for_and_everything_has_limits() -> None:
    asked: list[Controls] = []

    def make(controls: Controls) -> Iterator[Motion]:
        asked.append(controls)
        return iter([_speech()])

    list(styled_motion(make, Controls(style=Style(blinks=2 * AVERAGE.blinks), blink=1.5)))
    list(styled_motion(make, Controls(style=Style(blinks=300), blink=10)))
    assert [round(controls.blink, 6) for controls in asked] == [3.0, 10.0]
    wild = style_factors(Style(opening=1, width=0, jaw=1, blinks=0))
    assert wild.mouth.tolist() == [MOUTH[1], MOUTH[0], MOUTH[1]] and wild.blink == BLINK[0]
