from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talkingface.api.evaluation.score.motion import Figures, Moves, score_style
from talkingface.api.evaluation.subject import CLOCK_FPS
from voices import make_voice


def test_a_figure_that_is_not_a_number_is_a_gap() -> None:
    figures = Figures()
    figures.put("a", 1.0, np.zeros(3))
    figures.put("b", float("nan"), np.zeros(3), reason="too short")
    assert figures.metrics == {"a": 1.0} and figures.gaps == {"b": "too short"} and set(figures.per_frame) == {"a"}


def _moves(size: float) -> Moves:
    t = np.arange(100) / CLOCK_FPS
    gap = 0.05 * size * (1 + np.sin(12 * t))
    turns = Rotation.from_rotvec(np.stack([0 * t, np.radians(2 * size) * np.sin(3 * t), 0 * t], axis=1) + [0.3, 0, 0])
    return Moves(
        mouth=np.stack([gap, 0.7 + 0.1 * gap, 1.2 + 0.5 * gap], axis=1), closure=np.zeros(100),
        rotations=turns.as_matrix(),
    )  # fmt: skip


def test_two_styles_of_one_voice_are_told_apart() -> None:
    found, voice = Figures(), make_voice(4.0)
    score_style(found, _moves(1.0), voice)
    score_style(found, _moves(1.5), voice, ".reference")
    for name in ("opening", "width", "jaw", "yaw"):
        ratio = found.metrics[f"style.{name}.reference"] / found.metrics[f"style.{name}"]
        assert ratio == pytest.approx(1.5, rel=0.02), name
    assert found.metrics["style.pace.reference"] == pytest.approx(found.metrics["style.pace"])
    short = Figures()
    score_style(short, _moves(1.0), voice[:16000])
    assert not short.metrics and "less than 2 s of speech" in short.gaps["style.opening"]
