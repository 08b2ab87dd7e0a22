"""The one training loop of the project."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from talkingface.core.cache import output_error
from talkingface.core.device import configure_process, pick_device, room_for_threads
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.core.types import MAX_SEED, check_seed
from talkingface.core.work_folder import WorkFolder
from talkingface.nn.ema import Ema
from talkingface.training.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from talkingface.training.distributed import World
from talkingface.training.logging import Averager, ProgressLine, RunLog
from talkingface.training.optim import OptimizerConfig, lr_at, make_optimizer, set_lr
from talkingface.training.prefetch import Prefetcher, to_device
from talkingface.training.recipe import Phase, Recipe, check_recipe

_MOST_SKIPPED = 20  # steps in a row whose losses or gradients are not finite
_SEEDS_APART = 1_000_003  # between the data of two processes
_SAVING_SHARE = 0.1  # of the time at most, for checkpoints
_WARN_AFTER = 100  # steps, before a loss weight that nothing used is reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended: `finished` is False if the time was up first. `metrics` are those of the last `evaluate`."""

    step: int
    finished: bool
    metrics: Mapping[str, float]
    num_skipped: int
    trained_s: float


class Trainer:
    """Trains a `Recipe` in `folder`, going on from the checkpoint there if there is one.

    Args:
        recipe: what to train.
        folder: gets checkpoint.safetensors, log.jsonl, previews/ and tensorboard/.
        steps: length of the whole training; the learning rate falls to its end value there.
        seed: of the first weights, of the data, and of random numbers in the losses.
        device: "auto", "cpu", "cuda", "cuda:1".
        precision: "bf16" computes the losses under autocast.
        ema_decay: of the moving averages that previews and evaluation use; None keeps none.
        clip_grad: greatest norm of the gradient of each network; None does not clip.
        checkpoint_every_s: seconds between checkpoints, or more, if writing them would take over a tenth of the time;
            one is always written at the end.
        preview_every, evaluate_every: in steps, 0 for never; both are also done at the last step.
        time_limit_s: of one `run`; then it saves and returns, and a later run goes on.
        workers: threads that make batches.
        channels_last: memory format of networks and pictures; faster for convolutions on CPUs.

    The same recipe, seed and steps give the same weights on the same machine, however often the run is stopped
    and resumed (one process on a CPU: bit for bit).

    Example: `Trainer(MyRecipe(), "runs/one", steps=2000, preview_every=500).run()`
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: str | Path,
        *,
        steps: int,
        seed: int = 0,
        device: str = "auto",
        precision: Literal["32", "bf16"] = "32",
        ema_decay: float | None = 0.999,
        clip_grad: float | None = 1.0,
        checkpoint_every_s: float = 300.0,
        preview_every: int = 0,
        evaluate_every: int = 0,
        time_limit_s: float | None = None,
        log_every: int = 50,
        workers: int = 1,
        channels_last: bool = False,
    ) -> None:
        if precision not in ("32", "bf16"):
            raise UsageError(f"unknown precision {precision!r}; use 32 or bf16")
        if steps < 1 or log_every < 1 or workers < 1:
            raise UsageError("steps, log_every and workers must be at least 1")
        configure_process()
        self.recipe, self.folder, self.steps, self.seed = recipe, Path(folder), steps, check_seed(seed)
        self.step, self.num_skipped, self.trained_s = 0, 0, 0.0
        self.metrics: dict[str, float] = {}
        self._world = World()
        self._device = self._world.device(pick_device(device))
        self._precision, self._clip_grad, self._channels_last = precision, clip_grad, channels_last
        self._checkpoint_every_s, self._time_limit_s, self._workers = checkpoint_every_s, time_limit_s, workers
        self._preview_every, self._evaluate_every, self._log_every = preview_every, evaluate_every, log_every
        self._skipped_in_row, self._used_weights, self._warned = 0, set[str](), False
        self._averager, self._bad = Averager(), ""
        self._make_folder()
        self._make_networks(ema_decay)

    @property
    def checkpoint_path(self) -> Path:
        """The path of the training's state."""
        return self.folder / FILE_NAME

    def run(self, until: int | None = None) -> Outcome:
        """Train to the last step (or to step `until`), save, and say how it ended.

        Raises TalkingFaceError after 20 steps in a row without finite losses, and UsageError for a loss without a
        weight, or if another run trains in the folder. Ctrl-C saves a checkpoint, says how to continue, and raises
        KeyboardInterrupt; SIGTERM and SIGHUP likewise exit.
        """
        end = self.steps if until is None else min(until, self.steps)
        if self.step < end:
            stopped_by = self._hold_and_run(end)
            if stopped_by == signal.SIGINT:
                raise KeyboardInterrupt
            if stopped_by:
                raise SystemExit(128 + stopped_by)
        return Outcome(
            step=self.step,
            finished=self.step >= self.steps,
            metrics=dict(self.metrics),
            num_skipped=self.num_skipped,
            trained_s=self.trained_s,
        )

    def averaged(self) -> dict[str, dict[str, Tensor]]:
        """Network name -> state dict of copies, of the moving averages if they are kept: what to publish."""
        states = self.ema.state_dict() if self.ema else {n: net.state_dict() for n, net in self._trained.items()}
        return {name: {k: v.detach().clone() for k, v in state.items()} for name, state in states.items()}

    def save(self) -> Path:
        """Write the checkpoint now."""
        state = {
            "recipe": self.recipe.name,
            "seed": self.seed,
            "step": self.step,
            "num_skipped": self.num_skipped,
            "trained_s": self.trained_s,
            "metrics": self.metrics,
            "networks": {name: network.state_dict() for name, network in self._trained.items()},
            "ema": self.ema.state_dict() if self.ema else None,
            "ema_updates": self.ema.num_updates if self.ema else 0,
            "optimizers": {name: optimizer.state_dict()["state"] for name, optimizer in self._optimizers.items()},
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
            "extra": self.recipe.extra_state(),
        }
        save_checkpoint(self.checkpoint_path, state)
        return self.checkpoint_path

    # -- setting up ---------------------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error

    def _make_networks(self, ema_decay: float | None) -> None:
        torch.manual_seed(self.seed)
        self.networks = self.recipe.networks()
        check_recipe(self.recipe, self.networks)
        in_phases = {name for phase in self.recipe.phases for name in phase.networks}
        for name, network in self.networks.items():
            network.to(self._device)
            if self._channels_last:
                network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            if name not in in_phases:
                network.eval().requires_grad_(False)
        self._world.broadcast(self.networks.values())
        self._trained = {name: network for name, network in self.networks.items() if name in in_phases}
        # what the recipe froze inside a network stays frozen
        self._params = {n: [p for p in net.parameters() if p.requires_grad] for n, net in self._trained.items()}
        self._configs = {name: self.recipe.optimizers.get(name, OptimizerConfig()) for name in self._trained}
        self._optimizers = {n: make_optimizer(net, self._configs[n]) for n, net in self._trained.items()}
        state = load_checkpoint(self.checkpoint_path) if self.checkpoint_path.exists() else None
        if state:
            self._load_networks(state)
        self.ema = Ema(self._trained, ema_decay) if ema_decay else None
        if state:
            self._load_rest(state)
        if not self._world.is_main:
            torch.manual_seed((self.seed + _SEEDS_APART * (self._world.rank + self.step)) % (MAX_SEED + 1))

    def _load_networks(self, state: dict[str, Any]) -> None:
        advice = f"train into another folder or delete {self.checkpoint_path}"
        if (state["recipe"], state["seed"]) != (self.recipe.name, self.seed):
            raise UsageError(
                f"{self.folder} holds a training of {state['recipe']} with seed {state['seed']}, "
                f"not of {self.recipe.name} with seed {self.seed}; {advice}"
            )
        try:
            for name, network in self._trained.items():
                network.load_state_dict(state["networks"][name])
        except (KeyError, RuntimeError) as error:
            raise UsageError(f"{self.folder} holds a training of other networks; {advice}") from error

    def _load_rest(self, state: dict[str, Any]) -> None:
        if self.ema and state["ema"]:
            self.ema.load_state_dict(state["ema"], state["ema_updates"])
        for name, optimizer in self._optimizers.items():
            groups = optimizer.state_dict()["param_groups"]  # of the present configuration, not of the saved one
            optimizer.load_state_dict({"state": state["optimizers"][name], "param_groups": groups})
            for param, slots in optimizer.state.items():
                for key, value in slots.items():
                    if value.shape == param.shape:
                        slots[key] = torch.empty_like(param).copy_(value)  # the memory format of the parameter
        self.step, self.num_skipped, self.trained_s = state["step"], state["num_skipped"], state["trained_s"]
        self.metrics = state["metrics"]
        self.recipe.load_extra_state(state["extra"])
        torch.set_rng_state(state["rng"])
        if self._device.type == "cuda" and state["rng_cuda"] is not None:
            torch.cuda.set_rng_state(state["rng_cuda"], self._device)

    # -- the loop -----------------------------------------------------------------------------------------------

    def _hold_and_run(self, end: int) -> int:
        """`_run` while no other run may write to the folder, and OpenCV leaves the cores to the training."""
        with room_for_threads():
            if not self._world.is_main:
                return self._run(end)
            with WorkFolder(self.folder, f"the training {self.folder}"):
                return self._run(end)

    def _run(self, end: int) -> int:
        """Train to step `end`; the number of the signal that stopped it, or 0."""
        main, title = self._world.is_main, self.recipe.name
        self._log = RunLog(self.folder, self.step) if main else None
        begun = saved = time.monotonic()
        apart_s = self._checkpoint_every_s
        timed_s, timed_step = begun, self.step
        with _stop_signals() as signals, self._prefetcher(end) as batches, _progress(main, title, self) as progress:
            while self.step < end:
                self._train_step(to_device(batches.next(), self._device, self._channels_last))
                now = time.monotonic()
                over = self._time_limit_s is not None and now - begun >= self._time_limit_s
                stop = self._world.any(bool(signals) or over)
                last = stop or self.step >= end
                if progress:
                    progress.advance(self.step)
                if last or self.step % self._log_every == 0:
                    self.trained_s += now - timed_s
                    self._write_figures((self.step - timed_step) / max(1e-9, now - timed_s), progress)
                    timed_s, timed_step = now, self.step
                if main:
                    self._observe(progress)
                    if last or now - saved >= apart_s:
                        before = time.monotonic()
                        self.save()
                        saved = time.monotonic()
                        apart_s = max(self._checkpoint_every_s, (saved - before) * (1 / _SAVING_SHARE - 1))
                if stop:
                    break
                timed_s += time.monotonic() - now  # pictures and checkpoints do not count as training time
            if progress and self.step < self.steps:
                progress.say(f"stopped at step {self.step} of {self.steps}; saved in {self.folder}; "
                             "run the same command again to continue")  # fmt: skip
        if self._log:
            self._log.close()
        return signals[0] if signals else 0

    def _prefetcher(self, end: int) -> Prefetcher:
        seed = self.seed + _SEEDS_APART * self._world.rank
        pin = self._device.type == "cuda"
        return Prefetcher(lambda step: self.recipe.batch(step, seed), self.step, end, self._workers, pin)

    def _train_step(self, batch: dict[str, Tensor]) -> None:
        shared: dict[str, Any] = {"step": self.step, "steps": self.steps}
        good = True
        for phase in self.recipe.phases:
            if self.step % phase.every == 0 and not (good := self._train_phase(phase, batch, shared)):
                break
        self.step += 1
        if good:
            self._skipped_in_row = 0
            if self.ema:
                self.ema.update()
        else:
            self._count_skipped()

    def _train_phase(self, phase: Phase, batch: dict[str, Tensor], shared: dict[str, Any]) -> bool:
        """Losses, gradients and update of one phase; False if they were not finite and nothing was updated."""
        for name, network in self._trained.items():
            network.train()
            for param in self._params[name]:
                param.requires_grad_(name in phase.networks)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            losses = self.recipe.losses(phase.name, batch, shared)
        total = self._weigh(phase.name, losses)
        if total is None:
            return True
        for name in phase.networks:
            self._optimizers[name].zero_grad()
        total.backward()
        checked = total.detach().clone()
        grads = [p.grad for name in phase.networks for p in self._params[name] if p.grad is not None]
        self._world.average([checked, *grads])
        limit = float("inf") if self._clip_grad is None else self._clip_grad
        norms = {name: nn.utils.clip_grad_norm_(self._params[name], limit) for name in phase.networks}
        if not bool(torch.isfinite(torch.stack([checked, *norms.values()])).all()):
            self._bad = f"{phase.name}: " + ", ".join(f"{n} {float(loss.detach()):.3g}" for n, loss in losses.items())
            return False
        for name in phase.networks:
            set_lr(self._optimizers[name], lr_at(self._configs[name], self.step, self.steps))
            self._optimizers[name].step()
        self._averager.add(losses)
        self._averager.add({f"grad_norm/{name}": norm for name, norm in norms.items()})
        return True

    def _weigh(self, phase: str, losses: Mapping[str, Tensor]) -> Tensor | None:
        weights = self.recipe.loss_weights
        if missing := sorted(set(losses) - set(weights)):
            raise UsageError(f"{self.recipe.name}: no weight for the loss {', '.join(missing)} of phase {phase}")
        self._used_weights.update(losses)
        for name, loss in losses.items():
            if loss.ndim:
                raise ValueError(f"{self.recipe.name}: loss {name} must be a scalar, not {list(loss.shape)}")
        terms = [loss.float() * weights[name] for name, loss in losses.items() if weights[name] != 0]
        return torch.stack(terms).sum() if terms else None

    def _count_skipped(self) -> None:
        self.num_skipped += 1
        self._skipped_in_row += 1
        if self._skipped_in_row >= _MOST_SKIPPED:
            raise TalkingFaceError(
                f"{self.recipe.name}: {_MOST_SKIPPED} steps in a row without finite losses or gradients, the last one "
                f"{self.step} ({self._bad}); lower the learning rate or check the data, then run again"
            )

    # -- telling ------------------------------------------------------------------------------------------------

    def _write_figures(self, steps_per_s: float, progress: ProgressLine | None) -> None:
        figures = self._averager.take()
        if progress and self._log:
            progress.figures(self.step, {k: v for k, v in figures.items() if not k.startswith("grad_norm/")})
            rates = {f"lr/{n}": lr_at(config, self.step - 1, self.steps) for n, config in self._configs.items()}
            more = {"steps_per_s": round(steps_per_s, 3), "num_skipped": float(self.num_skipped)}
            self._log.write("train", self.step, {**figures, **rates, **more})
        self._warn_of_unused()

    def _warn_of_unused(self) -> None:
        rounds = max(phase.every for phase in self.recipe.phases)
        if not self._warned and (self.step >= max(_WARN_AFTER, rounds) or self.step >= self.steps):
            self._warned = True
            if unused := sorted(set(self.recipe.loss_weights) - self._used_weights):
                warnings.warn(f"{self.recipe.name}: no loss uses the weight {', '.join(unused)}", stacklevel=2)

    def _observe(self, progress: ProgressLine | None) -> None:
        """Preview and evaluation when they are due, with averaged weights; training goes on as if nothing had been."""
        done = self.step >= self.steps
        preview, evaluate = (every and (done or self.step % every == 0) for every in
                             (self._preview_every, self._evaluate_every))  # fmt: skip
        if not self._log or not (preview or evaluate):
            return
        for network in self._trained.values():
            network.eval()
        devices = [self._device] if self._device.type == "cuda" else []
        try:
            with torch.no_grad(), torch.random.fork_rng(devices), self.ema.applied() if self.ema else nullcontext():
                if preview:
                    self._log.write_pictures(self.step, self.recipe.preview(self.step))
                if evaluate:
                    self.metrics = {name: float(value) for name, value in self.recipe.evaluate().items()}
        except Exception:
            self.save()  # a mistake in a preview must not cost the training
            raise
        if evaluate:
            self._log.write("evaluate", self.step, self.metrics)
            if progress:
                progress.say(f"step {self.step}: " + "  ".join(f"{n} {v:.4g}" for n, v in self.metrics.items()))


def _progress(main: bool, title: str, trainer: Trainer) -> ProgressLine | nullcontext[None]:
    return ProgressLine(title, trainer.step, trainer.steps) if main else nullcontext()


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The list gets the number of a SIGINT, SIGTERM or SIGHUP that arrived; a second SIGINT interrupts at once."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in seen:
            raise KeyboardInterrupt
        seen.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield seen  # signals can be handled in the main thread only
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # `nohup` ignores it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
