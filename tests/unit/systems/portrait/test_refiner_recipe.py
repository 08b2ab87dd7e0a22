from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from faces import drawn_picture, mesh_points, open_mouth
from talkingface.core.errors import InputError
from talkingface.systems.portrait.config import preset
from talkingface.systems.portrait.data import FaceClip, save_face_clip
from talkingface.systems.portrait.refiner_recipe import FaceRecipe, _augment, near_eyes, refine

CONFIG = preset("tiny").refiner


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> FaceRecipe:
    folder = tmp_path_factory.mktemp("clips")
    paths = []
    for number in range(2):
        points = [open_mouth(mesh_points(60, (124 + 2 * k, 120)), 0.1 * k) for k in range(4)]
        pictures = [np.roll(drawn_picture()[:: 1 - 2 * number], 2 * k, 1) for k in range(4)]
        jpegs = [cv2.imencode(".jpg", np.ascontiguousarray(p[..., ::-1]))[1].tobytes() for p in pictures]
        clip = FaceClip(slug=f"clip{number}", jpegs=jpegs, landmarks=np.stack(points))
        save_face_clip(folder / f"clip{number}.npz", clip)
        paths.append(folder / f"clip{number}.npz")
    recipe = FaceRecipe(paths[:1], paths[1:], CONFIG, batch_size=2, samples=16)
    recipe.networks()
    return recipe


def test_a_batch_depends_on_step_and_seed_alone(recipe):
    first = recipe.batch(3, 7)
    recipe.batch(4, 7)
    again = recipe.batch(3, 7)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for other in (recipe.batch(4, 7), recipe.batch(3, 8)):
        assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_batch_has_what_the_networks_take(recipe):
    batch = recipe.batch(0, 0)
    width, height = CONFIG.mouth_px
    wanted = {"warped": 3, "still": 3, "masks": 3, "truth": 3}
    for name, channels in wanted.items():
        assert batch[name].shape == (2, channels, 256, 256)
        assert batch[name].min() >= 0 and batch[name].max() <= batch["balance"].max().clamp_min(1)
    assert (batch["corner"] >= 0).all() and (batch["corner"] <= 256 - torch.tensor([width, height])).all()


def test_untrained_networks_change_little(recipe):
    batch = recipe.batch(1, 0)
    with torch.no_grad():
        refined = refine(recipe.face, batch, CONFIG)
    assert refined.shape == batch["truth"].shape
    assert (refined - batch["warped"]).abs().mean() < 0.05


def test_every_loss_has_a_weight_and_reaches_its_networks(recipe):
    batch, shared = recipe.batch(2, 0), {}
    losses = recipe.losses("refine", batch, shared)
    assert set(losses) == set(recipe.loss_weights)
    sum(losses.values()).backward()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in recipe.face.parameters())
    recipe.face.zero_grad()


def test_the_inside_of_the_mouth_is_not_the_face_networks_matter(recipe):
    batch = recipe.batch(2, 0)
    inside = batch["masks"][:, 2:] > 0.99
    assert inside.any()
    other = {**batch, "truth": torch.where(inside, 1 - batch["truth"], batch["truth"])}
    with torch.no_grad():
        one, two = (recipe.losses("refine", b, {})["face"] for b in (batch, other))
    assert torch.isclose(one, two, rtol=1e-3)


def test_around_the_eyes_there_is_a_loss_of_its_own(recipe):
    batch = recipe.batch(2, 0)
    eyes = near_eyes(batch["eyes"], 256)
    assert 0.005 < eyes.mean() < 0.2
    x, y = batch["eyes"][0, 0, :2].round().int().tolist()
    assert eyes[0, 0, y, x] == 1
    wrong = {**batch, "truth": torch.where(eyes > 0, 1 - batch["truth"], batch["truth"])}
    with torch.no_grad():
        one, two = (recipe.losses("refine", b, {}) for b in (batch, wrong))
    assert two["eyes"] > one["eyes"] + 0.05


def test_samples_are_made_once(recipe):
    recipe.batch(5, 0)
    kept = {number: [sample["warped"] for sample in samples] for number, samples in recipe._kept.items()}
    recipe.batch(5, 0)
    assert kept and all(
        mine is recipe._kept[number][k]["warped"] for number, samples in kept.items() for k, mine in enumerate(samples)
    )


def test_held_out_clips_are_scored(recipe):
    with torch.no_grad():
        scores = recipe.evaluate()
    assert {"still_db", "warp_db", "refined_db", "worst_gain_db"} <= set(scores)
    assert scores["warp_db"] > scores["still_db"], "landmarks tell where the pixels went"


def test_mirroring_keeps_pictures_and_corner_together():
    square, rng = CONFIG.crop_px, np.random.default_rng(0)
    width, height = CONFIG.mouth_px
    corner = np.array([60, 120])
    sample = {
        name: rng.integers(0, 255, (square, square, 3), dtype=np.uint8)
        for name in ("warped", "still", "truth", "masks")
    }
    marked = sample["masks"][120 : 120 + height, 60 : 60 + width].copy()
    sample["corner"] = corner
    seen = set()
    for seed in range(12):
        out = _augment(sample, np.random.default_rng(seed), CONFIG)
        x, y = out["corner"]
        patch = np.s_[y : y + height, x : x + width]
        assert np.array_equal(out["masks"][patch], marked if x == 60 else marked[:, ::-1])
        seen.add(int(x))
    assert seen == {60, square - width - 60}


def test_without_held_out_clips_there_are_no_figures(recipe, tmp_path):
    still = FaceClip(slug="still", jpegs=recipe.clips[0].jpegs[:1], landmarks=recipe.clips[0].landmarks[:1])
    save_face_clip(tmp_path / "still.npz", still)
    clip = recipe.clips[0]
    save_face_clip(tmp_path / "clip.npz", clip)
    alone = FaceRecipe([tmp_path / "clip.npz"], [], CONFIG)
    alone.networks()
    assert alone.evaluate() == {} and alone.preview(1) == {}
    with pytest.raises(InputError, match="no clip has two"):
        FaceRecipe([tmp_path / "still.npz"], [], CONFIG)
