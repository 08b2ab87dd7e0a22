"""Speech to head pose: windows of time, not of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.systems.geneface.motion.pose import PoseRecipe
from talkingface.systems.geneface.official.audio2pose import FIELD, generate_poses


def recipe(frames: int = 150) -> PoseRecipe:
    pose = np.cumsum(np.random.default_rng(0).normal(size=(frames, 6)), axis=0)
    return PoseRecipe(np.arange(2 * frames * 3.0).reshape(-1, 3), pose, np.ones(frames, bool), warmup=2)


def test_windows_hold_what_was_before_each_frame() -> None:
    batch = recipe().batch(0, 1)
    assert batch["audio"].shape == (64, FIELD, 6) and batch["real"].shape == batch["before"].shape == (64, FIELD, 12)
    assert torch.equal(batch["before"][:, 1:], batch["real"][:, :-1])
    np.testing.assert_allclose(batch["real"][..., 6:], batch["real"][..., :6] - batch["before"][..., :6], atol=1e-5)


def test_it_learns_and_generates() -> None:
    torch.manual_seed(0)
    made = recipe()
    network = made.networks()["pose"]
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for step in range(6):
        loss = made.losses("fit", made.batch(step, 1), {})["pose"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert generate_poses(made.pose.eval(), torch.zeros(4, 6), torch.zeros(6)).shape == (4, 6)


def test_too_short_a_clip() -> None:
    with pytest.raises(ValueError, match="no 101 frames"):
        recipe(80)
