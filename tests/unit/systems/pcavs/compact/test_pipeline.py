"""The recorded recipe of `pcavs.compact`, on toy networks and clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crops import crop_clip
from talkingface.systems.pcavs.compact.pipeline import compact_pose_map, drawing_networks, train_compact
from talkingface.systems.pcavs.config import preset
from voices import make_voice

TINY = preset("tiny")
STEPS = {"reenact": 1, "mouths": 1, "speech": 1}


def no_voice(clip: object) -> np.ndarray:
    raise AssertionError(clip)


@pytest.mark.filterwarnings("ignore:pcavs.reenact. no loss uses the weight")  # one step is too few for all of them
def test_three_trainings_follow_each_other_and_finished_ones_are_kept(tmp_path: Path) -> None:
    train, held_out = [crop_clip("one", count=30)], [crop_clip("two", seed=1, count=60)]
    done = train_compact(train, held_out, tmp_path, TINY, lambda clip: make_voice(len(clip) / 25), STEPS)
    assert {"made_db", "yaw_r"} <= set(done["reenact"].metrics) and "gap" in done["speech"].metrics
    again = train_compact([], [], tmp_path, TINY, no_voice, STEPS)  # no clip is needed any more
    for stage, trained in done.items():
        for network, state in trained.networks.items():
            for name, value in state.items():
                assert torch.equal(value, again[stage].networks[network][name]), (stage, network, name)
    networks = drawing_networks(done, TINY)
    assert compact_pose_map(train + held_out, networks.pose, TINY).features.shape == (TINY.pose_numbers, 8)
