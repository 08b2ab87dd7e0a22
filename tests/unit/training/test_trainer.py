from __future__ import annotations

import json
import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.training.checkpoint import load_checkpoint, load_networks
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.trainer import Trainer


@pytest.fixture(autouse=True)
def no_tensorboard(monkeypatch):
    """Its import takes seconds."""
    monkeypatch.setattr("talkingface.training.logging.importlib.util.find_spec", lambda name: None)


class Toy(Recipe):
    """A generator with dropout and a spectrally normalised discriminator, trained on noise."""

    name = "test.toy"
    phases = (Phase("generate", ("g",)), Phase("discriminate", ("d",), every=2))
    loss_weights = {"l1": 10.0, "adversarial": 0.5, "real_or_fake": 1.0}
    optimizers = {"g": OptimizerConfig(lr=1e-2, warmup_steps=3, weight_decay=0.01)}

    def __init__(self):
        self.count, self.broken_from, self.seen = 0, 10**9, []

    def networks(self):
        self.g = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Dropout(0.2), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
        self.d = nn.Sequential(
            spectral_norm(nn.Conv2d(3, 8, 4, stride=2, padding=1)), nn.LeakyReLU(0.2), spectral_norm(nn.Conv2d(8, 1, 3))
        )
        return {"g": self.g, "d": self.d}

    def batch(self, step, seed):
        x = make_rng(seed, step).random((2, 3, 16, 16), dtype=np.float32)
        x[:] = np.nan if step >= self.broken_from else x
        return {"x": torch.from_numpy(x), "y": torch.from_numpy(1 - x)}

    def losses(self, phase, batch, shared):
        self.seen.append((shared["step"], phase))
        if phase == "generate":
            self.count += 1
            shared["fake"] = self.g(batch["x"])
            adversarial = -self.d(shared["fake"]).mean()
            return {"l1": (shared["fake"] - batch["y"]).abs().mean(), "adversarial": adversarial}
        real, fake = self.d(batch["y"]), self.d(shared["fake"].detach())
        return {"real_or_fake": torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()}

    def preview(self, step):
        torch.rand(3)
        assert not self.g.training
        return {"picture": np.zeros((4, 5, 3), np.uint8)}

    def evaluate(self):
        x = self.batch(0, 99)["x"]
        return {"l1": (self.g(x) - (1 - x)).abs().mean().item()}

    def extra_state(self):
        return {"count": self.count}

    def load_extra_state(self, state):
        self.count = state["count"]


def states(trainer):
    kept = {"ema": trainer.averaged(), "now": {n: net.state_dict() for n, net in trainer.networks.items()}}
    return {f"{k}/{n}/{p}": v.clone() for k, nets in kept.items() for n, s in nets.items() for p, v in s.items()}


@pytest.mark.parametrize("channels_last", [False, True])
def test_resuming_is_exact(tmp_path, channels_last):
    options = {"steps": 20, "device": "cpu", "channels_last": channels_last}
    straight = Trainer(Toy(), tmp_path / "a", preview_every=7, evaluate_every=3, **options)
    assert straight.run().finished
    assert not Trainer(Toy(), tmp_path / "b", **options).run(until=11).finished
    resumed = Trainer(Toy(), tmp_path / "b", workers=3, **options)
    assert resumed.step == 11 and resumed.recipe.count == 11
    assert resumed.run().finished
    wanted, got = states(straight), states(resumed)
    assert wanted.keys() == got.keys()
    for name in wanted:
        assert torch.equal(wanted[name], got[name]), name
    assert resumed.recipe.count == 20
    assert Trainer(Toy(), tmp_path / "b", **options).run().step == 20  # nothing left to do


def test_training_learns_and_tells(tmp_path):
    outcome = Trainer(Toy(), tmp_path, steps=60, device="cpu", log_every=20, preview_every=40, evaluate_every=30).run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    train = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in train] == [20, 40, 60]
    assert train[-1]["l1"] < train[0]["l1"]
    assert {"adversarial", "real_or_fake", "grad_norm/g", "grad_norm/d", "lr/g", "steps_per_s"} <= train[0].keys()
    assert [row["step"] for row in rows if row["kind"] == "evaluate"] == [30, 60]
    assert outcome.metrics["l1"] == rows[-1]["l1"]
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == ["picture_0000040.png", "picture_0000060.png"]


def test_phases_run_when_due_and_train_only_their_networks(tmp_path):
    class Watched(Toy):
        def losses(self, phase, batch, shared):
            mine = {"generate": self.g, "discriminate": self.d}[phase]
            for network in (self.g, self.d):
                assert all(p.requires_grad == (network is mine) for p in network.parameters())
            return super().losses(phase, batch, shared)

    recipe = Watched()
    Trainer(recipe, tmp_path, steps=3, device="cpu").run()
    assert recipe.seen == [(0, "generate"), (0, "discriminate"), (1, "generate"), (2, "generate"), (2, "discriminate")]


def test_networks_outside_the_phases_stay_as_they_are(tmp_path):
    class WithFrozen(Toy):
        def networks(self):
            self.critic = nn.Conv2d(3, 1, 1)
            return {**super().networks(), "critic": self.critic}

    recipe = WithFrozen()
    trainer = Trainer(recipe, tmp_path, steps=3, device="cpu")
    before = recipe.critic.weight.clone()
    trainer.run()
    assert torch.equal(before, recipe.critic.weight) and not recipe.critic.weight.requires_grad
    assert "critic" not in load_networks(tmp_path)


def test_a_loss_without_a_weight_raises_and_an_unused_weight_warns(tmp_path):
    recipe = Toy()
    recipe.loss_weights = {"l1": 1.0, "real_or_fake": 1.0}
    with pytest.raises(UsageError, match="no weight for the loss adversarial of phase generate"):
        Trainer(recipe, tmp_path / "a", steps=2, device="cpu").run()
    recipe = Toy()
    recipe.loss_weights = {**Toy.loss_weights, "lips": 1.0}
    with pytest.warns(UserWarning, match="no loss uses the weight lips") as caught:
        Trainer(recipe, tmp_path / "b", steps=4, device="cpu", log_every=1).run()
    assert len(caught) == 1


def test_steps_that_are_not_finite_are_skipped_then_stop_the_run(tmp_path):
    recipe = Toy()
    recipe.broken_from = 5
    trainer = Trainer(recipe, tmp_path, steps=50, device="cpu")
    with pytest.raises(TalkingFaceError, match=r"20 steps in a row .* the last one 25 \(generate: l1 nan"):
        trainer.run()
    assert trainer.num_skipped == 20
    assert all(torch.isfinite(value).all() for value in states(trainer).values())


def test_a_single_bad_step_is_counted_only(tmp_path):
    class OneBad(Toy):
        def losses(self, phase, batch, shared):
            losses = super().losses(phase, batch, shared)
            return {name: loss * (float("inf") if shared["step"] == 2 else 1) for name, loss in losses.items()}

    outcome = Trainer(OneBad(), tmp_path, steps=6, device="cpu").run()
    assert outcome.finished and outcome.num_skipped == 1


def test_time_limit_saves_and_goes_on_later(tmp_path):
    outcome = Trainer(Toy(), tmp_path, steps=9, device="cpu", time_limit_s=0).run()
    assert (outcome.step, outcome.finished) == (1, False)
    assert Trainer(Toy(), tmp_path, steps=9, device="cpu").run().finished


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_signals_save_a_checkpoint_and_say_how_to_continue(tmp_path, capfd, number, error):
    class Interrupted(Toy):
        def losses(self, phase, batch, shared):
            if shared["step"] == 3 and phase == "generate":
                os.kill(os.getpid(), number)
            return super().losses(phase, batch, shared)

    before = signal.getsignal(number)
    with pytest.raises(error):
        Trainer(Interrupted(), tmp_path, steps=50, device="cpu").run()
    assert "run the same command again to continue" in capfd.readouterr().err
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 4
    assert signal.getsignal(number) is before
    assert Trainer(Toy(), tmp_path, steps=50, device="cpu").step == 4


def test_another_training_in_the_folder_is_refused(tmp_path):
    Trainer(Toy(), tmp_path, steps=1, device="cpu").run()
    with pytest.raises(UsageError, match="seed 0, not of test.toy with seed 1"):
        Trainer(Toy(), tmp_path, steps=1, device="cpu", seed=1)

    class Larger(Toy):
        def networks(self):
            return {**super().networks(), "g": nn.Conv2d(3, 4, 5)}

    with pytest.raises(UsageError, match="other networks"):
        Trainer(Larger(), tmp_path, steps=1, device="cpu")


def test_rows_after_the_last_checkpoint_are_dropped_on_resuming(tmp_path):
    Trainer(Toy(), tmp_path, steps=10, device="cpu").run(until=4)
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 7}\n{"kind": "tr')
    Trainer(Toy(), tmp_path, steps=10, device="cpu").run()
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [4, 10]


def test_a_mistake_in_a_preview_keeps_the_training(tmp_path):
    class Clumsy(Toy):
        def preview(self, step):
            raise RuntimeError("no such clip")

    with pytest.raises(RuntimeError, match="no such clip"):
        Trainer(Clumsy(), tmp_path, steps=9, device="cpu", preview_every=3).run()
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 3


def test_a_mistake_in_a_batch_is_raised(tmp_path):
    class Empty(Toy):
        def batch(self, step, seed):
            raise LookupError("no clips in the index")

    with pytest.raises(LookupError, match="no clips"):
        Trainer(Empty(), tmp_path, steps=9, device="cpu").run()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_batches_are_made_while_the_networks_train(tmp_path):
    made = threading.Event()

    class Watched(Toy):
        def batch(self, step, seed):
            if step == 1:
                made.set()
            return super().batch(step, seed)

        def losses(self, phase, batch, shared):
            assert made.wait(30)  # at step 0 already
            return super().losses(phase, batch, shared)

    assert Trainer(Watched(), tmp_path, steps=2, device="cpu").run().finished


def test_bf16_trains(tmp_path):
    trainer = Trainer(Toy(), tmp_path, steps=3, device="cpu", precision="bf16")
    assert trainer.run().num_skipped == 0
    assert all(p.dtype == torch.float32 for p in trainer.networks["g"].parameters())


def test_bad_options_and_recipes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="precision"):
        Trainer(Toy(), tmp_path, steps=1, device="cpu", precision="16")  # type: ignore[arg-type]
    recipe = Toy()
    recipe.phases = (Phase("generate", ("generator",)),)
    with pytest.raises(ValueError, match="does not make: generator"):
        Trainer(recipe, tmp_path, steps=1, device="cpu")
    with pytest.raises(ValueError, match="at least one network"):
        Phase("empty", ())


def test_large_checkpoints_do_not_eat_the_time(tmp_path, monkeypatch):
    clock, saved = [0.0], []
    monkeypatch.setattr("talkingface.training.trainer.time.monotonic", lambda: clock[0])
    recipe = Toy()
    trainer = Trainer(recipe, tmp_path, steps=200, device="cpu", checkpoint_every_s=5)
    made, writing_s = recipe.losses, [0.0]

    def losses(phase, *rest):
        clock[0] += phase == "generate"  # a second a step
        return made(phase, *rest)

    def save():
        saved.append(trainer.step)
        clock[0] += writing_s[0]

    monkeypatch.setattr(recipe, "losses", losses)
    monkeypatch.setattr(trainer, "save", save)
    trainer.run(until=50)
    assert saved == list(range(5, 51, 5))
    saved.clear()
    writing_s[0] = 4.0
    trainer.run()
    assert np.diff(saved[:-1]).min() == 36 and saved[-1] == 200
