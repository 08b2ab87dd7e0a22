"""`bench --what sync` on a made-up expert that is always right, or always one frame and a half off."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.motion.sync import (
    HeardClip,
    _rows,
    by_person,
    num_apart,
    share_and_interval,
    shifted,
    window_trials,
)
from talkingface.face.mouth_view import VIEW_HW, MouthView
from talkingface.metrics.sync_expert import SyncScore


class Expert:
    """Reads the offset from the sound itself: its first sample that is not zero says when it was recorded."""

    def __init__(self, wrong_by: float = 0.0) -> None:
        self.wrong_by = wrong_by

    def score(self, view: MouthView, samples: np.ndarray) -> SyncScore:
        first = int(np.flatnonzero(samples)[0])
        offset = (samples[first] - first) / 640 - int(view.crops[0, 0, 0]) + self.wrong_by
        nothing = np.zeros(0)
        return SyncScore(offset_frames=offset, confidence=1.0, distance=0.0, lags=nothing, distances=nothing, frames=1)


def make_clip(frames: int = 100) -> HeardClip:
    crops = np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None], (frames, *VIEW_HW))
    view = MouthView(crops=crops, shape=np.zeros((frames, 56, 3), np.float32), seen=np.ones(frames, bool))
    return HeardClip(slug="ann", person="ann", view=view, samples=np.arange(frames * 640, dtype=np.float64))


def test_a_delayed_sound_starts_with_silence():
    sound = np.arange(1, 5 * 640 + 1, dtype=np.float32)
    late, early = shifted(sound, 2), shifted(sound, -2)
    assert not late[:1280].any() and late[1280] == 1
    assert early[0] == 1281 and len(early) == 3 * 640
    assert shifted(sound, 0) is sound or np.array_equal(shifted(sound, 0), sound)


@pytest.mark.parametrize(("wrong_by", "share"), [(0.0, 1.0), (0.9, 1.0), (1.5, 0.0)])
def test_every_shift_of_every_window_is_tried(wrong_by, share):
    trials = window_trials(Expert(wrong_by), make_clip(), 2, 0.0)  # type: ignore[arg-type]
    assert len(trials) == 3 * 17
    assert {trial["shift"] for trial in trials} == set(range(-8, 9))
    assert {trial["first"] for trial in trials} == {0, 25, 50}
    np.testing.assert_allclose([trial["error"] for trial in trials], wrong_by, atol=0.01)
    assert [trial["strict"] is None for trial in trials[::17]] == [False, True, False], "nothing long enough is left"
    strict = [trial["strict"] for trial in trials if trial["strict"] is not None]
    np.testing.assert_allclose(strict, 0, atol=0.01, err_msg="the rest is wrong by the same")
    assert share_and_interval(trials)[0] == share
    rows = list(_rows(trials, 2))
    assert rows[0].value == share and rows[0].met is None
    assert by_person(trials)[0]["windows"] == 3


def test_five_seconds_have_a_target_and_short_clips_no_window():
    rows = list(_rows(window_trials(Expert(), make_clip(150), 5, 0.0), 5))  # type: ignore[arg-type]
    assert rows[0].met is True and rows[0].target == ">= 0.85"
    assert window_trials(Expert(), make_clip(100), 5, 0.0) == []  # type: ignore[arg-type]


def test_the_interval_is_wilsons_and_counts_windows_that_share_no_frame():
    hit, miss = {"person": "p", "error": 0.2}, {"person": "p", "error": 7.0}
    trials = [{"clip": "c", "first": 25 * k, "frames": 25, **(hit if k < 8 else miss)} for k in range(10) for _ in "ab"]
    assert num_apart(trials) == 10
    assert share_and_interval(trials) == pytest.approx((0.8, 0.490, 0.943), abs=0.001)  # its formula, by hand
    assert num_apart([trial | {"frames": 125} for trial in trials]) == 2
    untold = [{"clip": "c", "first": 0, "frames": 25, "person": "p", "error": np.nan}]
    assert share_and_interval(untold)[0] == 0
