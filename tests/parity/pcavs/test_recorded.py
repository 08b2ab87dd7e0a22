"""Recordings of other seeds and shapes need no change here: everything is made from what their JSON says."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch

from parity.fixtures import parity_folder
from parity.pcavs.recorded import Recorded, draws, empty, fill, load, load_into, subscripts
from talkingface.systems.pcavs.official.networks.discriminator import Discriminator
from talkingface.systems.pcavs.official.networks.generator import Generator

SEED = 2


@pytest.fixture
def reseeded(tmp_path, monkeypatch):
    """Loads a recording as it would be with another seed, and perhaps other words in its recipes."""
    here = parity_folder() / "pcavs"
    (tmp_path / "pcavs").mkdir()

    def load_changed(name: str, **changes: str) -> Recorded:
        text = re.sub(r"g\(\d+,", f"g({SEED},", (here / f"{name}.json").read_text(encoding="utf-8"))
        facts = json.loads(text) | {"seed": SEED}
        for key, value in changes.items():
            facts["inputs"][key] = value
        (tmp_path / "pcavs" / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
        shutil.copy(here / f"{name}.npz", tmp_path / "pcavs")
        monkeypatch.setenv("TALKINGFACE_PARITY", str(tmp_path))
        changed = load(name)
        monkeypatch.undo()
        return changed

    return load_changed


NAMES = ("netV", "netE", "netA_sync", "netA", "netD", "vgg19_perceptual", "upfirdn2d", "inference", "train_losses")


@pytest.mark.parametrize("name", NAMES)
def test_inputs_follow_the_seed(name, reseeded):
    recorded, changed = load(name), reseeded(name)
    for key, text in recorded.fixture.inputs.items():
        if not isinstance(text, str) or "g(" not in text:
            continue
        for before, after in zip(recorded.draws(key), changed.draws(key), strict=True):
            assert before.shape == after.shape and not torch.equal(before, after)


def test_weights_follow_the_seed(reseeded):
    recorded, changed = load("netD"), reseeded("netD")
    for (name, before), after in zip(recorded.weights().items(), changed.weights().values(), strict=True):
        assert before.shape == after.shape and not torch.equal(before, after), name


@torch.no_grad()
def test_another_seed_and_batch_are_drawn(reseeded):
    changed = reseeded("netD", images=f"0.5*g({SEED},801).standard_normal((2, 3, 96, 96))")
    network = empty(Discriminator)
    load_into(network, changed.weights())
    judged = network(changed.input("images"))
    assert judged[0][0].shape == (2, 3, 96, 96) and all(part.isfinite().all() for scale in judged for part in scale)
    name = "netG_small_16"
    changed = reseeded(name, style=f"g({SEED},201).standard_normal((3,48))")
    generator = fill(empty(lambda: Generator(crop_px=16, style=48)), SEED, changed.rules())
    assert generator(changed.input("style"), None, changed.noise()).isfinite().all()


def test_recipes_are_read_to_the_letter():
    (values,) = draws("3*g(1,906).uniform(-1,1,(2, 3))", 1)
    rng = np.random.Generator(np.random.Philox(key=[1, 906]))
    np.testing.assert_allclose(values, 3 * rng.uniform(-1, 1, (2, 3)), rtol=1e-6)
    text = (
        "a[i][j]=g(1,910+10*i+j).standard_normal((2,3+j,6-i)), b[i][j]=g(1,950+10*i+j) same shape; i in 0..1, j in 0..3"
    )
    places = subscripts(text)
    assert len(places) == 8 and places[-1] == {"i": 1, "j": 3}
    first, second = draws(text, 1, i=1, j=2)
    assert first.shape == second.shape == (2, 5, 5)
    rng = np.random.Generator(np.random.Philox(key=[1, 962]))
    np.testing.assert_allclose(second, rng.standard_normal((2, 5, 5)), rtol=1e-6)
