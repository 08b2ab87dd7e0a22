from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faces import drawn_picture, mesh_points, open_mouth
from talkingface.core.errors import InputError
from talkingface.photo.mouth import OpenMouth
from talkingface.photo.mouth import open_mouth as mouth_of
from talkingface.photo.refine import SHADE, SHADE_TINT, Refiner
from talkingface.systems.portrait.config import preset
from talkingface.systems.portrait.data import FaceClip, load_face_clip, save_face_clip
from talkingface.systems.portrait.mouth_recipe import MouthRecipe, _augment, refine_mouth

CONFIG = preset("tiny").refiner


def clip(number: int, face_px: float = 300.0, frames: int = 12) -> FaceClip:
    points = [open_mouth(mesh_points(60, (124 + k, 120)), 0.05 * k) for k in range(frames)]
    pictures = [np.roll(drawn_picture()[:: 1 - 2 * number], k, 1) for k in range(frames)]
    jpegs = [cv2.imencode(".jpg", np.ascontiguousarray(p[..., ::-1]))[1].tobytes() for p in pictures]
    return FaceClip(slug=f"clip{number}", jpegs=jpegs, landmarks=np.stack(points), face_px=face_px)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(2):
        save_face_clip(folder / f"clip{number}.npz", clip(number))
    return [folder / f"clip{number}.npz" for number in range(2)]


@pytest.fixture(scope="module")
def example() -> OpenMouth:
    return mouth_of(drawn_picture(), open_mouth(mesh_points(), 0.3), CONFIG)


@pytest.fixture(scope="module")
def recipe(paths, example) -> MouthRecipe:
    recipe = MouthRecipe(paths[:1], paths[1:], Refiner({}, CONFIG), [example], batch_size=2)
    recipe.networks()
    return recipe


def test_a_batch_depends_on_step_and_seed_alone(recipe, paths, example):
    first = recipe.batch(3, 7)
    recipe.batch(4, 7)
    fresh = MouthRecipe(paths[:1], [], Refiner({}, CONFIG), [example], batch_size=2)
    for again in (recipe.batch(3, 7), fresh.batch(3, 7)):
        assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], recipe.batch(3, 8)[name]) for name in first)


def test_a_batch_has_what_the_network_takes(recipe):
    batch, (width, height) = recipe.batch(0, 0), CONFIG.patch_px
    assert batch["seen"].shape == (2, 6, height, width) and batch["truth"].shape == (2, 3, height, width)
    assert batch["seen"][:, 3:].min() >= 0 and batch["seen"][:, 3:].max() <= 1


def test_every_loss_has_a_weight_and_reaches_the_network(recipe):
    losses = recipe.losses("shade", recipe.batch(2, 0), {})
    assert set(losses) == set(recipe.loss_weights)
    sum(losses.values()).backward()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in recipe.mouth.parameters())
    recipe.mouth.zero_grad()


def test_behind_the_lips_the_network_only_makes_lighter_or_darker(recipe):
    """Whatever it wants: what is dark stays dark, and neighbouring pixels keep their contrast."""
    seen = torch.rand(1, 6, *CONFIG.patch_px[::-1], generator=torch.Generator().manual_seed(0))
    seen[:, 3] = 0
    seen[:, 3, 30:-30, 30:-30] = 1
    seen[:, :3, 40:50] = 0
    wild = 3 * torch.randn(1, 4, *CONFIG.patch_px[::-1], generator=torch.Generator().manual_seed(1))
    low, high = (1 + np.array(SHADE)[:, None] * SHADE_TINT).T[:, 0], (1 + np.array(SHADE)[:, None] * SHADE_TINT).T[:, 1]
    tint = torch.from_numpy(SHADE_TINT)[None, :, None, None]
    for wanted in (wild, wild.abs() + 5, -wild.abs() - 5):
        made = refine_mouth(lambda _, wanted=wanted: wanted, seen, tint)[..., 30:-30, 30:-30]
        before = seen[:, :3, 30:-30, 30:-30]
        assert not made[:, :, 10:20].any()
        for channel in range(3):
            gain = (made / before)[:, channel][before[:, channel] > 0.05]
            assert low[channel] - 1e-3 <= gain.min() and gain.max() <= high[channel] + 1e-3
            if wanted is not wild:
                assert gain.max() - gain.min() < 1e-3


def test_held_out_clips_are_scored_with_both_kinds_of_mouths(recipe):
    with torch.no_grad():
        scores = recipe.evaluate()
        pictures = recipe.preview(1)
    assert set(scores) == {"before_db", "example_db", "own_db"} and all(np.isfinite([*scores.values()]))
    assert next(iter(pictures.values())).dtype == np.uint8


def test_small_faces_teach_no_teeth(tmp_path, example):
    save_face_clip(tmp_path / "small.npz", clip(0, face_px=90.0))
    assert load_face_clip(tmp_path / "small.npz").face_px == 90.0
    with pytest.raises(InputError, match="no clip has two"):
        MouthRecipe([tmp_path / "small.npz"], [], Refiner({}, CONFIG), [example], least_face_px=200.0)


def test_mirroring_keeps_pictures_together():
    rng = np.random.default_rng(0)
    sample = {"seen": rng.integers(0, 255, (20, 30, 6), np.uint8), "balance": np.ones(3, np.float32)}
    sample["truth"] = sample["seen"][..., :3].copy()
    mirrored = 0
    for seed in range(12):
        out = _augment(sample, np.random.default_rng(seed))
        assert np.array_equal(out["seen"][..., :3], out["truth"])
        same = np.array_equal(out["seen"][..., 3:], sample["seen"][..., 3:])
        assert same or np.array_equal(out["seen"][:, ::-1, 3:], sample["seen"][..., 3:])
        mirrored += not same
    assert 0 < mirrored < 12
