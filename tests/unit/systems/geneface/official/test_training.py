"""The published trainings, small: losses fall, stopped ones go on exactly, failures are noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from field_clips import make_field_clip
from talkingface.core.errors import InputError, TalkingFaceError, UsageError
from talkingface.nn.lpips import Lpips
from talkingface.systems.geneface.config import tiny_official
from talkingface.systems.geneface.official.conditions import landmark_conditions
from talkingface.systems.geneface.official.field_recipe import HeadRecipe
from talkingface.systems.geneface.official.guard import KEPT_EVERY, MOST_BAD, TrainingGuard
from talkingface.systems.geneface.official.material import FieldClip
from talkingface.systems.geneface.official.recipes import FEATURES, FIELD, OFFICIAL_RECIPES
from talkingface.testing.material import write_clip
from talkingface.training.recipe import Recipe
from talkingface.training.trainer import Trainer

CONFIG = tiny_official()
OPTIONS = {"device": "cpu", "ema_decay": None, "clip_grad": None, "log_every": 1}


@pytest.fixture(scope="module")
def person(tmp_path_factory):
    """A folder with a clip, a head and a vanilla head."""
    folder = tmp_path_factory.mktemp("person")
    make_field_clip(folder / FIELD)
    for name in ("head", "nerf-head"):
        Trainer(OFFICIAL_RECIPES[name](CONFIG, folder), folder / name, steps=2, **OPTIONS).run()
    return folder


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v.clone() for n, net in trainer.networks.items() for k, v in net.state_dict().items()}


def losses_of(recipe: Recipe, folder, steps: int) -> list[float]:
    """The weighted sum of the losses that are pictures', step by step, always of the same batch."""
    first = recipe.batch(0, 0)
    recipe.optimizers = {name: replace(each, lr=10 * each.lr) for name, each in recipe.optimizers.items()}
    recipe.batch = lambda step, seed: first  # type: ignore[method-assign]
    found = []
    plain = recipe.losses

    def losses(phase, batch, shared):
        made = plain(phase, batch, shared)
        found.append(float(next(iter(made.values())).detach()))
        return made

    recipe.losses = losses  # type: ignore[method-assign]
    Trainer(recipe, folder, steps=steps, **OPTIONS).run()
    return found


@pytest.mark.parametrize("name", list(OFFICIAL_RECIPES))
def test_the_loss_falls(name, person, tmp_path):
    found = losses_of(OFFICIAL_RECIPES[name](CONFIG, person), tmp_path, 25)
    assert np.mean(found[-5:]) < 0.95 * np.mean(found[:3])


@pytest.mark.parametrize("name", list(OFFICIAL_RECIPES))
def test_a_stopped_training_goes_on_exactly(name, person, tmp_path):
    config = replace(CONFIG, training=replace(CONFIG.training, head_steps=8, lips_from=0.5))

    def trainer(folder):
        return Trainer(OFFICIAL_RECIPES[name](config, person), tmp_path / folder, steps=8, **OPTIONS)

    whole = trainer("whole")
    whole.run()
    trainer("parts").run(until=5)
    resumed = trainer("parts")
    resumed.run()
    expected, found = state_of(whole), state_of(resumed)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_tables_of_codes_are_as_long_as_the_clip_and_no_longer(person):
    recipe = OFFICIAL_RECIPES["head"](CONFIG, person)
    field = recipe.networks()["field"]
    assert field.individual_embeddings.shape[0] == 16


def test_a_torso_leaves_the_head_as_it_is(person, tmp_path):
    recipe = OFFICIAL_RECIPES["torso"](CONFIG, person)
    trainer = Trainer(recipe, tmp_path, steps=3, **OPTIONS)
    before = {name: value.clone() for name, value in recipe.field.state_dict().items()}
    trainer.run()
    changed = {name for name, value in recipe.field.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all("torso" in name for name in changed)


def test_a_torso_may_be_told_the_head(person, tmp_path):
    config = replace(CONFIG, renderer=replace(CONFIG.renderer, head_aware=True))
    recipe = OFFICIAL_RECIPES["torso"](config, person)
    trainer = Trainer(recipe, tmp_path, steps=2, evaluate_every=2, preview_every=2, **OPTIONS)
    assert np.isfinite(trainer.run().metrics["face_db"])
    pixels = torch.arange(200)
    assert torch.equal(recipe._seen(3, pixels), recipe._seen(3, pixels))


def test_a_torso_needs_a_head(tmp_path):
    make_field_clip(tmp_path / "me" / FIELD)
    with pytest.raises(UsageError, match=r"geneface\.head"):
        OFFICIAL_RECIPES["torso"](CONFIG, tmp_path / "me")
    with pytest.raises(InputError, match="one video"):
        OFFICIAL_RECIPES["head"](CONFIG, tmp_path)


def test_the_condition_costs_nothing_within_the_face(person):
    batch = OFFICIAL_RECIPES["head"](CONFIG, person).batch(0, 0)
    rows, columns = batch["pixels"] // 48, batch["pixels"] % 48
    x, y, width, height = FieldClip.load(person / FIELD).faces[int(batch["number"])]
    inside = (columns >= x) & (columns < x + width) & (rows >= y) & (rows < y + height)
    assert torch.equal(inside, batch["face"]) and inside.any() and not inside.all()


def test_imported_lpips_judges_the_lips(person, tmp_path):
    config = replace(CONFIG.training, head_steps=4, lips_from=0.0)
    recipe = OFFICIAL_RECIPES["head"](CONFIG, person)
    clip = recipe._clip
    conditions = landmark_conditions(clip.landmarks, clip.range)
    recipe = HeadRecipe(clip, CONFIG.renderer, config, conditions, Lpips("alex"))
    batch = recipe.batch(1, 0)
    assert batch["lips"] and len(batch["pixels"]) == 12 * 12
    trainer = Trainer(recipe, tmp_path, steps=2, **OPTIONS)
    trainer.run()
    assert not trainer.networks["perceptual"].training
    assert "perceptual" in (tmp_path / "log.jsonl").read_text()


def test_features_from_outside_take_the_place_of_tokens(tmp_path):
    make_field_clip(tmp_path / FIELD)
    np.save(tmp_path / FEATURES, np.zeros((32, 7), np.float32))
    recipe = OFFICIAL_RECIPES["radnerf"](CONFIG, tmp_path)
    assert recipe.batch(0, 0)["windows"].shape == (8, 16, 7)
    assert recipe.networks()["field"].config.inputs == 7
    np.save(tmp_path / FEATURES, np.zeros((4, 16, 29), np.float32))
    assert OFFICIAL_RECIPES["adnerf"](CONFIG, tmp_path).batch(0, 0)["windows"].shape == (8, 16, 29)
    np.save(tmp_path / FEATURES, np.zeros(5))
    with pytest.raises(InputError, match="rows"):
        OFFICIAL_RECIPES["radnerf"](CONFIG, tmp_path)


def run_guard(guard: TrainingGuard, errors: list[float], first: int = 0) -> None:
    for step, error in enumerate(errors, first):
        guard.before(step)
        guard.see(torch.tensor(error))


def test_a_training_that_blows_up_is_taken_back():
    network = nn.Linear(2, 2)
    guard = TrainingGuard(network, None)
    run_guard(guard, [0.01] * (KEPT_EVERY + 1))
    good = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.fill_(7.0)
    run_guard(guard, [float("nan")] * MOST_BAD, KEPT_EVERY + 1)
    assert not torch.equal(network.weight, good)
    guard.before(KEPT_EVERY + 1 + MOST_BAD)
    assert torch.equal(network.weight, good) and guard.returns == 1


def test_gradients_without_numbers_are_noticed():
    network = nn.Linear(2, 2)
    guard = TrainingGuard(network, None)
    run_guard(guard, [0.01] * (KEPT_EVERY + 1))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    run_guard(guard, [0.01] * (MOST_BAD - 1), KEPT_EVERY + 1)
    assert guard.returns == 0
    guard.before(KEPT_EVERY + MOST_BAD)
    assert guard.returns == 1


def test_a_seed_that_does_not_converge_is_begun_anew():
    starts: list[int] = []
    guard = TrainingGuard(nn.Linear(2, 2), starts.append, least_psnr=21, judged_at=300)
    run_guard(guard, [0.1] * 301)
    assert starts == [1]
    run_guard(guard, [0.001] * 600, 301)
    assert starts == [1]
    guard = TrainingGuard(nn.Linear(2, 2), starts.append, least_psnr=21, judged_at=10)
    with pytest.raises(TalkingFaceError, match="3 starts"):
        run_guard(guard, [0.1] * 40)
    assert starts == [1, 1, 2]


def test_other_first_weights_come_from_the_number_of_the_start(person):
    recipe = OFFICIAL_RECIPES["head"](CONFIG, person)
    torch.manual_seed(0)
    field = recipe.networks()["field"]
    before = field.sigma_net.net[0].weight.detach().clone()
    found = []
    for start in (1, 1, 2):
        recipe._anew(start)
        found.append(field.sigma_net.net[0].weight.detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], before) and not torch.equal(found[1], found[2])


def test_a_folder_with_a_video_is_prepared(tmp_path):
    write_clip(tmp_path / "me.mp4")
    recipe = OFFICIAL_RECIPES["head"](CONFIG, tmp_path)
    assert len(recipe.batch(0, 0)["pixels"]) == CONFIG.training.rays
    clip = FieldClip.load(tmp_path / FIELD)
    assert clip.test.any() and not (clip.test & clip.train).any() and not clip.train[-3:].any()
    (tmp_path / "other.mp4").write_bytes(b"")
    assert len(OFFICIAL_RECIPES["radnerf"](CONFIG, tmp_path).batch(0, 0)["windows"]) == 8, "it is prepared once"
