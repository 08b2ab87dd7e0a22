"""The sync expert's training: what it calls the truth, that it repeats itself, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.face.mouth_view import SHAPE_POINTS, VIEW_HW, MouthView
from talkingface.nn.sync_config import TINY
from talkingface.training import sync_expert
from talkingface.training.sync_data import SyncClip, at_speed, heard_differently, mirrored_order, seen_differently
from talkingface.training.sync_expert import MARGIN, MAX_LAG, SyncRecipe, _late_s


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-6))


def make_clip(slug: str, frames: int, late: int = 0) -> SyncClip:
    """A mouth that drops `late` frames after each of its bursts of noise."""
    rng = np.random.default_rng(sum(slug.encode()))
    talking = np.repeat(rng.integers(0, 2, frames // 4 + 12), 4).astype(np.float32)
    samples = np.repeat(talking, 640) * rng.normal(0, 0.2, 640 * len(talking))
    shape = np.tile(rng.normal(0, 0.3, (len(SHAPE_POINTS), 3)).astype(np.float32), (frames, 1, 1))
    shape[:, :, 1] += 0.3 * talking[20 - late :][:frames, None]
    crops = rng.integers(0, 255, (frames, *VIEW_HW), dtype=np.uint8)
    view = MouthView(crops=crops, shape=shape, seen=np.ones(frames, bool))
    return SyncClip(
        slug=slug, person=slug[0], view=view, samples=samples[640 * 20 :][: 640 * frames].astype(np.float32)
    )


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(sync_expert, "LONG_BATCH", (6, 30))
    monkeypatch.setattr(sync_expert, "SHORT_BATCH", (4, 20))


@pytest.fixture
def recipe(small) -> SyncRecipe:
    clips = [make_clip("ann", 120, 3), make_clip("bob", 90, 3), make_clip("cid", 30, 3)]
    return SyncRecipe(clips, TINY, late_s={clip.slug: 3 / 25 for clip in clips}, copies=2)


def test_a_batch_depends_on_step_and_seed_only(recipe):
    first, again, other = recipe.batch(3, 1), recipe.batch(3, 1), recipe.batch(4, 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(first[name].shape != other[name].shape or not torch.equal(first[name], other[name]) for name in first)
    count, frames = first["seen"].shape
    assert first["columns"].shape == (count, 4 * (frames + 2 * MARGIN), 80)
    assert first["crops"].shape == (count, frames, *VIEW_HW)


def test_the_truth_is_where_mouth_and_sound_agree(recipe):
    """Known lateness is taken out, jitter is in the answer, at every speed."""
    errors = []
    for step in range(4):
        batch = recipe.batch(step, 0)
        loud = batch["columns"].mean(dim=2).numpy()
        for k in range(len(loud)):
            moved = batch["shape"][k] - batch["shape"][k].mean(dim=0)
            opening = torch.linalg.svd(moved.flatten(1), full_matrices=False)[0][:, 0].numpy()
            fine = np.repeat(opening - opening.mean(), 4)
            if batch["seen"][k].min() == 0 or np.ptp(opening) < 0.2:
                continue
            values = [
                abs(correlation(fine, loud[k, j : j + len(fine)])) for j in range(4 * MARGIN - 24, 4 * MARGIN + 25)
            ]
            errors.append(np.argmax(values) / 4 - 6 - float(batch["truth"][k]))
    assert len(errors) > 8
    assert abs(np.median(errors)) < 0.6
    assert np.mean(np.abs(errors) < 1.1) > 0.9


def test_losses_are_those_of_guessing_before_training(recipe):
    torch.manual_seed(0)
    recipe.networks()["sync"].eval()
    batch = recipe.batch(0, 0)
    with torch.no_grad():
        losses = recipe.losses("fit", batch, {})
        assert set(losses) == set(recipe.loss_weights)
        assert all(torch.isfinite(value) for value in losses.values())
        recipe.sync.log_scale.fill_(-20)  # all answers alike
        flat = recipe.losses("fit", batch, {})
    assert float(flat["window"]) == pytest.approx(np.log(2 * MAX_LAG + 1), abs=1e-3)
    assert float(flat["others"]) == pytest.approx(np.log(len(batch["seen"])), abs=1e-3)


def test_gradients_reach_every_part(recipe):
    network = recipe.networks()["sync"]
    sum(recipe.losses("fit", recipe.batch(0, 0), {}).values()).backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())


def test_own_offsets_follow_the_clip(recipe, monkeypatch):
    clips = recipe._clips
    recipe.networks()
    assert abs(_late_s(recipe.sync, clips[0])) <= MAX_LAG / 25
    late = {"ann": 0.2, "bob": 0.04, "bud": 0.08, "cid": 0.0}
    monkeypatch.setattr(sync_expert, "_late_s", lambda network, clip: late[clip.slug])
    people = [make_clip(slug, 100) for slug in late]
    found = sync_expert.own_offsets(recipe.sync, people, {"a": 0.0})
    assert found["ann"] == 0.0, "five frames from what is listed: not believed"
    assert found["bob"] == pytest.approx(0.05) and found["bud"] == pytest.approx(0.07), "half their own"


def test_frames_at_another_speed():
    clip = make_clip("ann", 20)
    shape, crops, seen = at_speed(clip.view, np.arange(12) * 2.0)
    np.testing.assert_array_equal(shape[:10], clip.view.shape[::2])
    np.testing.assert_array_equal(crops[:10], clip.view.crops[::2])
    assert seen.tolist() == [k < 10 for k in range(12)]


def test_other_rooms_and_other_light_keep_the_length():
    rng = np.random.default_rng(0)
    clip = make_clip("ann", 50)
    for speed in (1.0, 0.9, 1.12):
        columns = heard_differently(clip.samples, speed, rng)
        assert abs(len(columns) - 200 / speed) <= 2 and columns.dtype == np.float16
        assert np.isfinite(columns).all()
    crops = clip.view.crops[:8].astype(np.float32)
    for _ in range(5):
        values = seen_differently(crops, rng)
        assert values.shape == crops.shape and values.dtype == np.float32 and abs(values.mean()) < 0.7


def test_left_and_right_change_places():
    shape = np.array([[0.3, 0, 0], [-0.3, 0.01, 0], [0, 1, 0]])
    assert mirrored_order(shape).tolist() == [1, 0, 2]
