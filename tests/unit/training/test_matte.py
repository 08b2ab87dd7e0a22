"""Composites with a known matte, and the training on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from faces import mesh_points, person_alpha
from talkingface.core.errors import InputError
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.key import Keyed
from talkingface.training import matte
from talkingface.training.matte_data import make_composite, make_samples, wall_pieces
from talkingface.video.write import VideoWriter


def keyed_person(colour: tuple[int, int, int] = (150, 105, 85)) -> Keyed:
    alpha = person_alpha(mesh_points(40), (256, 256))
    return Keyed(alpha, (alpha[..., None] * np.array(colour)).astype(np.float32))


def test_composites_are_the_person_before_something_else():
    rng = np.random.default_rng(3)
    walls = wall_pieces([np.full((90, 120, 3), (20, 200, 40), np.uint8)], 1)
    for _ in range(25):
        made = make_composite([[keyed_person()]], walls, rng)
        assert made.rgb.dtype == np.uint8 and made.rgb.shape[:2] == made.alpha.shape
        assert made.alpha.min() == 0 and made.alpha.max() == 1
        samples = make_samples(made, rng)
        assert {name: value.shape for name, value in samples[0].items()} == {
            "seen": (5, 192, 192),
            "truth": (1, 192, 192),
        }
        assert all(value.min() >= 0 and value.max() <= 1 for sample in samples for value in sample.values())


def test_batches_repeat_and_less_than_nothing_is_as_good_as_nothing():
    recipe = matte.MatteRecipe([[keyed_person()]], [], pictures=1)
    torch.manual_seed(0)
    recipe.networks()
    batch, again = recipe.batch(4, 1), recipe.batch(4, 1)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert len(batch["seen"]) == 2
    truth = (batch["truth"] > 0.5).float()
    perfect = batch["seen"].clone()
    perfect[:, 4:] = 3 * truth - 1  # twice as much as all, and less than nothing
    losses = recipe.losses("fit", {"seen": perfect, "truth": truth}, {})
    assert {name: float(loss.detach()) for name, loss in losses.items()} == dict.fromkeys(recipe.loss_weights, 0.0)
    assert float(recipe.losses("fit", batch, {})["opacity"].detach()) > 0


def test_one_command_from_clips_to_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listed = ["file,kind,slug,split,identity,licence_class"]
    for slug, split, licence in (("a", "train", "cc-by"), ("b", "val", "cc-by"), ("c", "train", "research")):
        listed.append(f"{slug}.mp4,video,{slug},{split},{slug},{licence}")
        with VideoWriter(tmp_path / f"{slug}.mp4", (256, 256), 25, synthetic=None) as writer:
            writer.write(keyed_person().over(np.full((256, 256, 3), (50, 80, 190), np.uint8)))
    (tmp_path / "manifest.csv").write_text("\n".join(listed))
    monkeypatch.setattr(matte, "STEPS", {"plain": 2, "coloured": 1})
    made = matte.make_weights(tmp_path, tmp_path / "runs")
    weights = load_weights(find_weights(made))
    assert weights.card["licence"] == "CC-BY-4.0" and weights.card["data"].startswith("1 people")
    assert weights.card["metrics"]["coloured.guided"] > 0 and "enter.weight" in weights.tensors
    (tmp_path / "manifest.csv").write_text("\n".join([listed[0], listed[-1]]))
    with pytest.raises(InputError, match="even backdrop"):
        matte.make_weights(tmp_path, tmp_path / "others")
