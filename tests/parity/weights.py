"""Networks filled by the rule of `parity.rule`, with the gains that a recording states."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from parity.rule import draw_tensor

Rules = Sequence[tuple[str, float]]
"""(pattern, gain): the first pattern that fully matches a name scales the tensor, if it has two or more dimensions."""
Network = TypeVar("Network", bound=nn.Module)
_CONSTRUCTED = ".kernel"  # FIR taps are made, not filled
_COUNTER = "num_batches_tracked"


def filled(
    shapes: Mapping[str, Sequence[int]], seed: int, rules: Rules = (), aliases: Mapping[str, str] | None = None
) -> dict[str, Tensor]:
    """What the rule and the gains give each tensor. Aliased names share one; counters are 0, FIR taps are left out."""
    made: dict[str, Tensor] = {}
    sources = {name: (aliases or {}).get(name, name) for name in shapes if not name.endswith(_CONSTRUCTED)}
    for name, source in sources.items():
        if source in made:
            continue
        shape = tuple(shapes[name])
        if source.endswith(_COUNTER):
            made[source] = torch.zeros(shape, dtype=torch.int64)
            continue
        values = draw_tensor(source, shape, seed)
        gain = next((gain for pattern, gain in rules if re.fullmatch(pattern, source)), 1.0)
        made[source] = torch.from_numpy(values * np.float32(gain) if gain != 1 and len(shape) > 1 else values)
    return {name: made[source] for name, source in sources.items()}


def fill(network: Network, seed: int, rules: Rules = ()) -> Network:
    """The network with its tensors filled under their own names."""
    load_into(network, filled({name: value.shape for name, value in network.state_dict().items()}, seed, rules))
    return network


def load_into(network: nn.Module, state: Mapping[str, Tensor], unused: str = "") -> None:
    """Load a filled state: nothing may be missing but FIR taps, nothing left over but what matches `unused`."""
    missing, extra = network.load_state_dict(state, strict=False)
    assert [name for name in missing if not name.endswith(_CONSTRUCTED)] == []
    assert [name for name in extra if not re.fullmatch(unused, name)] == []


def empty(make: Callable[[], Network]) -> Network:
    """What `make` gives, in evaluation mode; parameters without the cost of drawing their first values."""
    with _no_init():
        return make().eval()


@contextmanager
def _no_init() -> Iterator[None]:
    """Within the block, torch's initialisers leave tensors as they are: filling follows anyway."""
    kept = {name: getattr(nn.init, name) for name in ("kaiming_uniform_", "kaiming_normal_", "uniform_")}
    for name in kept:
        setattr(nn.init, name, lambda tensor, *_args, **_kwargs: tensor)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(nn.init, name, function)
