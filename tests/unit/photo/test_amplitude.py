"""Lips that move too little in drawn pictures are asked to move more."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import mouth_measures
from talkingface.photo.amplitude import GAPS, LEAST, MOST, WIDTHS, _probes, gains_of
from talkingface.photo.rig import NO_GAINS, WIDEST, amplified

MODEL = load_mesh478()
ASKED = mouth_measures(MODEL.mean + MODEL.displacement(_probes()))[:, :2]


def test_the_probes_are_the_mouths_that_they_are_named_after() -> None:
    width = mouth_measures(MODEL.mean)[1]
    wanted = np.array([(gap, width + wide) for gap in GAPS for wide in WIDTHS])
    assert ASKED[2:] == pytest.approx(wanted[2:], abs=0.03)


def test_what_moves_as_asked_stays_and_what_moves_less_is_moved_more() -> None:
    assert gains_of(ASKED, ASKED) == pytest.approx(1, abs=0.04)
    gap, width = gains_of(ASKED, ASKED * (0.85, 0.9) + 0.02)
    assert 1.1 < gap < 1.15 and 1.1 < width < 1.2


@pytest.mark.parametrize("found", [0.0, -1.0, 40.0])
def test_a_blind_tracker_tears_no_mouth_open(found: float) -> None:
    gains = gains_of(ASKED, found * ASKED)
    assert (gains >= np.float32(LEAST)).all() and (gains <= np.float32(MOST)).all()


def test_gains_move_gap_and_width_and_leave_a_resting_mouth_alone() -> None:
    def measures(expression: np.ndarray) -> np.ndarray:
        return mouth_measures(MODEL.mean + MODEL.displacement(expression))[:2]

    rest, probe = measures(np.zeros(20, np.float32)), _probes()[5]
    more = measures(amplified(probe, np.float32([1.2, 1.3])))
    assert (more - rest) / (measures(probe) - rest) == pytest.approx([1.2, 1.3], abs=0.06)
    assert not amplified(np.zeros(20, np.float32), np.float32([1.3, 1.3])).any()
    assert amplified(probe, NO_GAINS) is probe


def test_wide_mouths_are_opened_no_further() -> None:
    wide = 4 * _probes()[6]
    assert mouth_measures(MODEL.mean + MODEL.displacement(wide))[0] > WIDEST
    more = mouth_measures(MODEL.mean + MODEL.displacement(amplified(wide, np.float32([1.3, 1]))))
    assert more[0] == pytest.approx(mouth_measures(MODEL.mean + MODEL.displacement(wide))[0], abs=0.01)
