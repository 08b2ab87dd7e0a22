"""Pipelines: what is finished is not made again, what was stopped goes on, and cards say how weights were made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from talkingface.clips.manifest import ClipEntry
from talkingface.core.errors import InputError, UsageError
from talkingface.core.weights import find_weights, load_weights
from talkingface.training.pipeline import RESEARCH, Stage, held_back_of, make_card, run_stages, save_made
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.trainer import Trainer


@pytest.fixture(autouse=True)
def no_tensorboard(monkeypatch):
    """Its import takes seconds."""
    monkeypatch.setattr("talkingface.training.logging.importlib.util.find_spec", lambda name: None)


class Line(Recipe):
    """y = slope x; `begin` is the weight to start with."""

    name = "test.line"
    phases = (Phase("fit", ("line",)),)
    loss_weights = {"squared": 1.0}
    optimizers = {}

    def __init__(self, slope: float, begin: torch.Tensor | None = None) -> None:
        self.slope, self.begin = slope, begin

    def networks(self):
        self.line = nn.Linear(1, 1, bias=False)
        if self.begin is not None:
            self.line.load_state_dict({"weight": self.begin})
        return {"line": self.line}

    def batch(self, step, seed):
        x = torch.from_numpy(make_rng(seed, step).random((4, 1), np.float32))
        return {"x": x, "y": self.slope * x}

    def losses(self, phase, batch, shared):
        return {"squared": (self.line(batch["x"]) - batch["y"]).square().mean()}

    def evaluate(self):
        return {"slope": self.line.weight.item()}


def stages(made: list[str], steps: int = 30) -> list[Stage]:
    """Two trainings, the second of which begins with what the first one gave."""

    def first(done):
        made.append("first")
        return Line(2.0)

    def second(done):
        made.append("second")
        return Line(3.0, done["first"].networks["line"]["weight"])

    options = {"evaluate_every": 10}
    return [
        Stage(name="first", steps=20, make=first, settings={"slope": 2.0}),
        Stage(name="second", steps=steps, make=second, options=options),
    ]


def run(folder: Path, made: list[str], **changes):
    return run_stages(folder, stages(made, **changes), seed=1, device="cpu", ema_decay=0.9)


def test_finished_stages_are_read_and_stopped_ones_go_on(tmp_path):
    made: list[str] = []
    straight = run(tmp_path / "a", made)
    assert made == ["first", "second"] and straight["second"].steps == 30
    assert abs(straight["second"].last["line"]["weight"].item()) > 0

    first, second = stages(made)
    run_stages(tmp_path / "b", [first], seed=1, device="cpu", ema_decay=0.9)
    begun = {"first": straight["first"]}
    options = {"steps": 30, "seed": 1, "device": "cpu", "ema_decay": 0.9, "evaluate_every": 10}
    Trainer(second.make(begun), tmp_path / "b" / "second", **options).run(until=13)
    made.clear()
    resumed = run(tmp_path / "b", made)
    assert made == ["second"]
    again = run(tmp_path / "b", made)
    assert made == ["second"]
    for one in (resumed, again):
        for name, trained in straight.items():
            assert torch.equal(one[name].networks["line"]["weight"], trained.networks["line"]["weight"])
            assert torch.equal(one[name].last["line"]["weight"], trained.last["line"]["weight"])
            assert one[name].metrics == trained.metrics


def test_a_folder_of_other_settings_is_refused(tmp_path):
    run(tmp_path, [])
    with pytest.raises(UsageError, match="other steps; name another output folder"):
        run(tmp_path, [], steps=40)
    first, _ = stages([])
    other = Stage(name="first", steps=20, make=first.make, settings={"slope": 5.0})
    with pytest.raises(UsageError, match="other settings"):
        run_stages(tmp_path, [other], seed=1)
    (tmp_path / "second" / "stage.json").write_text('{"steps": 3')
    with pytest.raises(InputError, match="damaged; delete it"):
        run(tmp_path, [])


def test_a_card_says_how_weights_were_made(tmp_path):
    done = run(tmp_path, [])
    entry = {"path": Path("a.mp4"), "sound": Path("a.mp4"), "split": "train", "identity": "ann", "licence_class": "x"}
    clips = [ClipEntry(slug="a", held_back=slice(300, 606), **entry), ClipEntry(slug="b", **entry)]
    card = make_card(
        "toy.line", done, terms=RESEARCH, data="two clips", held_back=held_back_of(clips), seed=1, system="toy"
    )
    weights = load_weights(
        find_weights(save_made(tmp_path, {"weight": done["second"].networks["line"]["weight"].numpy()}, card))
    )
    stored = weights.card
    assert stored["command"] == "talkingface train toy.line DATA -o FOLDER" and stored["system"] == "toy"
    assert stored["licence"] == "research only" and stored["held_back"] == "frames 300:606 of a"
    assert stored["steps"] == {"first": 20, "second": 30} and len(stored["sha256"]) == 64
    broken = replace(done["first"], metrics={"slope": float("nan")})
    assert make_card("toy.line", {"first": broken}, terms=RESEARCH, data="", held_back="")["metrics"] == {
        "first.slope": None
    }
    closed = make_card("toy.mean", {}, terms=RESEARCH, data="two clips", held_back="nothing", steps="a mean")
    assert closed["steps"] == "a mean" and "metrics" not in closed and "trained_s" not in closed
    assert stored["metrics"] == {"second.slope": round(done["second"].metrics["slope"], 4)}
    assert json.loads((tmp_path / "weights" / "toy.line" / "card.json").read_text())["data"] == "two clips"
