from __future__ import annotations

import numpy as np
import pytest

from talkingface.face.blink import eye_aspect
from talkingface.face.eyelids import close_lids, lid_closure, meeting_lids
from talkingface.face.morphable import load_mesh478

MEAN = load_mesh478().mean.astype(np.float64)


@pytest.mark.parametrize("closure", [-0.5, -0.2, 0.0])
def test_wide_open_eyes_are_found_again(closure):
    assert lid_closure(close_lids(MEAN, closure)[None], MEAN) == pytest.approx(closure, abs=0.06)


def test_closing_is_monotone_and_reaches_one():
    found = lid_closure(np.stack([close_lids(MEAN, closure) for closure in (0, 0.25, 0.5, 0.75)]), MEAN)
    assert (np.diff(found) > 0.15).all() and found[-1] == 1


def test_negative_closure_opens_wider():
    assert eye_aspect(close_lids(MEAN, -0.4)) > 1.3 * eye_aspect(MEAN)


def test_lids_that_a_tracker_sees_nearly_closed_meet_and_open_ones_stay():
    track = np.stack([close_lids(MEAN, closure) for closure in (0, 0, 0, 0, 0.03, 0.35, 0.7)])
    met = meeting_lids(track)
    assert met[:5] == pytest.approx(track[:5])
    assert eye_aspect(met[6]) < 0.1 * eye_aspect(MEAN) < 0.4 * eye_aspect(met[5])
