"""Exponential moving averages of networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages of the state of `networks`: `decay * average + (1 - decay) * now` at each `update`.

    The decay grows over the first steps as (1 + n) / (10 + n), so that the random start is forgotten soon.
    Buffers and integers are copied, not averaged.

    Example: `ema = Ema({"g": g}, 0.999); ema.update(); with ema.applied(): picture = g(x)`
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"the decay must be between 0 and 1, not {decay}")
        self._networks, self._decay, self._num_updates = dict(networks), decay, 0
        self._averages = {
            name: {key: value.detach().clone() for key, value in network.state_dict().items()}
            for name, network in self._networks.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present state of the networks."""
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        self._num_updates += 1
        for name, network in self._networks.items():
            averages, params = self._averages[name], dict(network.named_parameters(remove_duplicate=False))
            for key, param in params.items():
                averages[key].lerp_(param, 1 - decay)
            for key, buffer in network.state_dict().items():
                if key not in params:
                    averages[key].copy_(buffer)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the networks hold their averages; afterwards their own values again, bit for bit."""
        own = {name: {k: v.clone() for k, v in n.state_dict().items()} for name, n in self._networks.items()}
        self._copy_in(self._averages)
        try:
            yield
        finally:
            self._copy_in(own)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Network name -> state dict of averages (live tensors)."""
        return self._averages

    @property
    def num_updates(self) -> int:
        """How often `update` was called; belongs to the state, see `load_state_dict`."""
        return self._num_updates

    @torch.no_grad()
    def load_state_dict(self, averages: Mapping[str, Mapping[str, Tensor]], num_updates: int) -> None:
        """Take back what `state_dict` and `num_updates` gave."""
        self._num_updates = num_updates
        for name, state in self._averages.items():
            for key, value in state.items():
                value.copy_(averages[name][key])

    @torch.no_grad()
    def _copy_in(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, network in self._networks.items():
            for key, value in network.state_dict().items():
                value.copy_(states[name][key])
