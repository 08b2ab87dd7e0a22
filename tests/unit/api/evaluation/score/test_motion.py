from __future__ import annotations

import numpy as np

from talkingface.api.evaluation.score.motion import Figures


def test_a_figure_that_is_not_a_number_is_a_gap() -> None:
    figures = Figures()
    figures.put("a", 1.0, np.zeros(3))
    figures.put("b", float("nan"), np.zeros(3), reason="too short")
    assert figures.metrics == {"a": 1.0} and figures.gaps == {"b": "too short"} and set(figures.per_frame) == {"a"}
