"""Figures of a style on movements that are known."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.core.style import AVERAGE, FIGURES
from talkingface.metrics.style import (
    EVIDENCE,
    FPS,
    STRETCH_FRAMES,
    blink_rate,
    drawn_to_average,
    head_figures,
    mouth_figures,
    stretch_logs,
)

COUNT = 4 * STRETCH_FRAMES
T = np.arange(COUNT) / FPS


def _mouth(hz: float = 2.0) -> np.ndarray:
    wave = np.sin(2 * np.pi * hz * T)
    return np.stack([0.1 + 0.1 * wave, 0.7 + 0.03 * np.cos(3 * T), 1.2 + 0.05 * wave], axis=1)


def test_mouth_of_a_sine() -> None:
    found = mouth_figures(_mouth(), np.ones(COUNT, bool))
    assert found["opening"] == pytest.approx(0.1 + 0.1 * np.sin(0.4 * np.pi), abs=0.005)
    assert found["width"] == pytest.approx(0.03 / np.sqrt(2), rel=0.05)
    assert found["jaw"] == pytest.approx(0.05 / np.sqrt(2), rel=0.05)
    assert found["pace"] == pytest.approx(2 * np.pi * 2, rel=0.06)
    assert mouth_figures(_mouth(3.0), np.ones(COUNT, bool))["pace"] > 1.3 * found["pace"]


def test_a_resting_width_and_frames_that_do_not_count_change_nothing() -> None:
    counted = np.ones(COUNT, bool)
    counted[::7] = False
    spoilt = _mouth() + [0, 0.2, 0.1]
    spoilt[::7] = 5
    found, plain = mouth_figures(spoilt, counted), mouth_figures(_mouth(), counted)
    for name in ("opening", "width", "jaw"):
        assert found[name] == pytest.approx(plain[name], rel=1e-6)


def test_a_head_that_wanders_off_counts_by_what_it_does_within_seconds() -> None:
    pose = np.zeros((COUNT, 6))
    pose[:, 1] = np.radians(3) * np.sqrt(2) * np.sin(2 * np.pi * 0.5 * T)
    pose[:, 3] = 0.1 * np.sqrt(2) * np.cos(2 * np.pi * 0.5 * T)
    found = head_figures(pose, np.ones(COUNT, bool))
    assert found["yaw"] == pytest.approx(3, rel=0.02) and found["shift"] == pytest.approx(0.1, rel=0.02)
    assert found["head_pace"] == pytest.approx(np.pi, rel=0.05)
    steps = pose + np.repeat(np.arange(4.0), STRETCH_FRAMES)[:, None]
    assert head_figures(steps, np.ones(COUNT, bool))["yaw"] == pytest.approx(3, rel=0.02)
    logs = stretch_logs(_mouth(), pose, np.ones(COUNT, bool))
    assert logs.shape == (4, len(EVIDENCE))


def test_little_speech_is_drawn_to_the_average() -> None:
    figures = {"opening": 0.3, "pace": 20.0}
    little, much = drawn_to_average(figures, 2.0), drawn_to_average(figures, 1000.0)
    assert AVERAGE.opening < little["opening"] < much["opening"] < 0.3
    assert much == pytest.approx(figures, rel=0.01)
    # the pace tells people apart worse than the opening does
    shares = {name: np.log(little[name] / FIGURES[name]["average"]) for name in figures}
    shares = {name: share / np.log(figures[name] / FIGURES[name]["average"]) for name, share in shares.items()}
    assert shares["opening"] > 0.6 > 0.3 > shares["pace"]
    assert drawn_to_average({"opening": 0.0}, 30.0)["opening"] > 0


def test_blinks_of_a_short_clip_are_drawn_to_the_average() -> None:
    assert blink_rate(0, 0.0) == pytest.approx(AVERAGE.blinks)
    assert 0 < blink_rate(0, 30.0) < 0.2 * AVERAGE.blinks
    assert blink_rate(600, 600.0) == pytest.approx(60, rel=0.02)
