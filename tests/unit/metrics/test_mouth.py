"""Mouth measures on a face whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talkingface.audio.phones import PhoneSpan
from talkingface.metrics.mouth import (
    BILABIALS,
    LOWER_LIP,
    UPPER_LIP,
    compare_mouths,
    mouth_measures,
    open_share,
    reached_gaps,
)


def face(gap: float, width: float, jaw: float) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(478, 3))
    points[33], points[263] = (-1, 0, 0), (1, 0, 0)
    for upper, lower in zip(UPPER_LIP, LOWER_LIP, strict=True):
        points[lower] = points[upper] + (0, 2 * gap, 0)
    points[61], points[291] = (-width, 1, 0), (width, 1, 0)
    points[1], points[152] = (0, 0, 0), (0, 2 * jaw, 0)
    return points


def test_measures_in_inter_ocular_distances_for_any_pose() -> None:
    points = face(0.1, 0.6, 0.9)
    turned = 50 * points @ Rotation.from_rotvec([0.2, -0.5, 0.1]).as_matrix().T + 7
    for seen in (points, turned):
        np.testing.assert_allclose(mouth_measures(seen), [0.1, 0.6, 0.9], atol=1e-9)


def test_comparison_of_a_scaled_late_copy() -> None:
    generated = np.random.default_rng(1).normal(size=(80, 3))
    true = 2 * np.roll(generated, 2, axis=0)
    result = compare_mouths(generated, true, offset_frames=2)
    assert result.lag_frames == (2, 2, 2)
    assert min(result.correlation) > 0.99 and min(result.aligned) > 0.99
    assert result.gap_ratio == result.ratios[0] == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="cannot compare"):
        compare_mouths(generated[:5], true[:5])


def test_gaps_reached_in_phones() -> None:
    gap = np.full(50, 0.1)
    gap[12], gap[30] = 0.01, 0.2
    spans = [PhoneSpan(phone="B", start_s=0.44, end_s=0.52), PhoneSpan(phone="AA", start_s=1.16, end_s=1.3)]
    assert reached_gaps(gap, 25.0, spans, BILABIALS, lowest=True).tolist() == [0.01]
    assert reached_gaps(gap, 25.0, spans, ("AA",), lowest=False).tolist() == [0.2]
    assert open_share(gap, 0.15) == pytest.approx(0.02)
