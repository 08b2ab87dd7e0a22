"""Trainings of radiance fields that go wrong: noticed, and taken back or begun anew, without a human.

Some seeds never find the head, and some trainings blow up after hours. What the guard remembers is part of a
checkpoint, so a resumed training does the same as one that was never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from talkingface.core.errors import TalkingFaceError
from talkingface.training.distributed import World

KEPT_EVERY = 200
"""Steps between copies of a network that is well."""
MOST_BAD = 3
"""Steps in a row without finite numbers after which the last copy is taken back."""
COLLAPSE_DB = 6.0
"""A training that is so much worse than it was has blown up."""
MOST_STARTS, MOST_RETURNS = 3, 20
_MEMORY = 0.98


class TrainingGuard:
    """Watches a network's training by its squared errors. Call `before` ahead of each step's losses, then `see`.

    `anew`: gives the network other first weights, by the number of the start. A training that has less than
    `least_psnr` after `judged_at` steps is begun anew, at most twice.
    """

    def __init__(
        self, network: nn.Module, anew: Callable[[int], None] | None, *, least_psnr: float = 0.0, judged_at: int = 1000
    ) -> None:
        self._network, self._anew, self._least, self._judged_at = network, anew, least_psnr, judged_at
        self._world = World()
        self._mean, self._best, self._bad, self._bad_gradients = math.nan, -math.inf, 0, 0
        self.begun, self.starts, self.returns = 0, 1, 0
        self._good: dict[str, Tensor] = {}

    @property
    def psnr(self) -> float:
        """Of the last steps, in dB, nan before the first."""
        return -10 * math.log10(max(self._mean, 1e-12))

    @torch.no_grad()
    def before(self, step: int) -> None:
        """Take the network back or begin it anew if it needs that. Raises TalkingFaceError if nothing helps."""
        self._bad_gradients = self._bad_gradients + 1 if self._world.any(self._gradients_are_bad()) else 0
        if max(self._bad, self._bad_gradients) >= MOST_BAD or (self._good and self.psnr < self._best - COLLAPSE_DB):
            self._return()
        elif self._anew and step - self.begun == self._judged_at and self.psnr < self._least:
            if self.starts == MOST_STARTS:
                raise TalkingFaceError(
                    f"{MOST_STARTS} starts all stayed under {self._least:g} dB after {self._judged_at} steps; check "
                    "that the clip shows one person before a background that does not move"
                )
            self._anew(self.starts)
            self.begun, self.starts, self._good = step, self.starts + 1, {}
            self._mean, self._best = math.nan, -math.inf
        elif (
            step % KEPT_EVERY == 0
            and step > self.begun
            and not self._bad + self._bad_gradients
            and math.isfinite(self._mean)
        ):
            self._best = max(self._best, self.psnr)
            self._good = {name: value.detach().clone() for name, value in self._network.state_dict().items()}

    def see(self, squared_error: Tensor) -> None:
        """Note the mean squared error of a step's pictures."""
        value = squared_error.detach().clone()
        self._world.average([value])
        found = float(value)
        if not math.isfinite(found):
            self._bad += 1
            return
        self._bad = 0
        self._mean = found if math.isnan(self._mean) else _MEMORY * self._mean + (1 - _MEMORY) * found

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {
            "mean": self._mean, "best": self._best, "bad": self._bad, "bad_gradients": self._bad_gradients,
            "begun": self.begun, "starts": self.starts, "returns": self.returns, "good": dict(self._good),
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self._mean, self._best, self._bad = float(state["mean"]), float(state["best"]), state["bad"]
        self._bad_gradients = state["bad_gradients"]
        self.begun, self.starts, self.returns = state["begun"], state["starts"], state["returns"]
        device = next(self._network.parameters()).device
        self._good = {name: value.to(device) for name, value in state["good"].items()}

    def _gradients_are_bad(self) -> bool:
        """Of the step before; the trainer left the network as it was then."""
        found = [p.grad.sum() for p in self._network.parameters() if p.grad is not None]
        return bool(found) and not bool(torch.isfinite(torch.stack(found)).all())

    def _return(self) -> None:
        self.returns += 1
        if self.returns > MOST_RETURNS or not self._good:
            raise TalkingFaceError(
                f"the training gave no finite numbers and was taken back {self.returns - 1} times; lower its rate"
            )
        for name, value in self._network.state_dict().items():
            value.copy_(self._good[name])
        self._bad, self._bad_gradients, self._mean = 0, 0, math.nan
