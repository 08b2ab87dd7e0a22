"""Recordings of PC-AVS: weights with their gains, and inputs made from the recipes that the JSON holds as text.

A recipe draws by `g(seed, stream)`, the generator of `parity.rule.philox`; shapes, streams, factors and ranges are read
off its text, the seed is the recording's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parity.fixtures import Fixture, load_fixture, parity_folder
from parity.rule import draw_tensor, philox

Rules = Sequence[tuple[str, float]]
_NUMBER = r"[-+]?[\d.]+"
_DRAW = re.compile(
    rf"(?:({_NUMBER})\*)?g\(\d+,([\d+*ij]+)\)(?:\.(standard_normal|uniform)\((?:({_NUMBER}),({_NUMBER}),)?\(([^)]*)\)\))?"
)
_CONSTRUCTED = ".kernel"  # FIR taps are made, not filled


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording: its fixture, and the whole of its JSON."""

    fixture: Fixture
    facts: Mapping[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """What was recorded."""
        return self.fixture.config

    def rules(self, network: str | None = None) -> Rules:
        """Gains: of this recording, or of one of its networks."""
        found = self.facts["gain_rules"] if network is None else self.config["gain_rules"][network]
        return [(pattern, float(gain)) for pattern, gain in found]

    def weights(self) -> dict[str, Tensor]:
        """The filled state dict of this recording's network."""
        return filled(self.fixture.state, self.fixture.seed, self.rules())

    def draws(self, name: str, **indices: int) -> list[Tensor]:
        """Every draw in the recipe of an input, in order; `indices` are the i and j of recipes with subscripts."""
        return draws(self.fixture.inputs[name], self.fixture.seed, **indices)

    def input(self, name: str) -> Tensor:
        """The one draw of an input."""
        (only,) = self.draws(name)
        return only

    def noise(self) -> list[Tensor]:
        """The maps of noise: "N arrays, sides [...]; array i is ..."."""
        text = self.fixture.inputs["noise"]
        sides = json.loads(re.search(r"\[[\d, ]+\]", text)[0])
        return [draws(text.replace("side,side", f"{s},{s}"), self.fixture.seed, i=i)[0] for i, s in enumerate(sides)]

    def check(self, name: str, values: Tensor) -> None:
        """Output `name` agrees within the tolerance that the recording states."""
        ours, theirs = self.fixture.pick(name, values), self.fixture.stored(name)
        relative, of_std = self._tolerance()
        spread = self.fixture.outputs[name]["std"]
        np.testing.assert_allclose(ours, theirs, rtol=relative, atol=of_std * spread, err_msg=name)

    def check_scalar(self, name: str, value: Tensor) -> None:
        """The same for a number, which some recordings hold as an array of one."""
        self.check(name, value.reshape(self.fixture.outputs[name]["shape"]))

    def _tolerance(self) -> tuple[float, float]:
        text = self.facts["tolerance"]
        of_std = re.search(r"atol ([\d.e-]+) of the output std", text)
        return float(re.search(r"rtol ([\d.e-]+)", text)[1]), float(of_std[1]) if of_std else 0.0


def load(name: str) -> Recorded:
    """The recording `name` of PC-AVS."""
    facts = json.loads((parity_folder() / "pcavs" / f"{name}.json").read_text(encoding="utf-8"))
    return Recorded(load_fixture("pcavs", name), facts)


def names_like(pattern: str) -> list[str]:
    """The recordings in the folder whose names match, for tests of all of a kind."""
    return sorted(path.stem for path in (parity_folder() / "pcavs").glob(f"{pattern}.json"))


def filled(shapes: Mapping[str, Sequence[int]], seed: int, rules: Rules) -> dict[str, Tensor]:
    """What the fill rule and the first matching gain give each tensor; counters are 0, FIR taps are left out."""
    made = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(0)
        elif not name.endswith(_CONSTRUCTED):
            values = draw_tensor(name, tuple(shape), seed)
            gain = next((gain for pattern, gain in rules if re.fullmatch(pattern, name)), 1.0)
            made[name] = torch.from_numpy(values * np.float32(gain) if len(shape) > 1 else values)
    return made


def fill(network: nn.Module, seed: int, rules: Rules, aliases: Mapping[str, str] | None = None) -> nn.Module:
    """The network with its tensors filled under their own names (`aliases`: name here -> name filled by)."""
    names = aliases or {}
    shapes = {names.get(name, name): tuple(value.shape) for name, value in network.state_dict().items()}
    made = filled(shapes, seed, rules)
    load_into(
        network, {name: made[names.get(name, name)] for name in network.state_dict() if names.get(name, name) in made}
    )
    return network


def load_into(network: nn.Module, state: Mapping[str, Tensor], unused: str = "") -> None:
    """Load a filled state: nothing may be missing but FIR taps, nothing left over but what matches `unused`."""
    missing, extra = network.load_state_dict(state, strict=False)
    assert [name for name in missing if not name.endswith(_CONSTRUCTED)] == []
    assert [name for name in extra if not re.fullmatch(unused, name)] == []


def empty(make: Any) -> Any:
    """What `make` gives, in evaluation mode; parameters without the cost of drawing their first values."""
    with _no_init():
        return make().eval()


class _no_init:  # noqa: N801 (a context manager used like a function)
    """Within the block, torch's initialisers leave tensors as they are: filling follows anyway."""

    _names = ("kaiming_uniform_", "kaiming_normal_", "uniform_")

    def __enter__(self) -> None:
        self._kept = {name: getattr(nn.init, name) for name in self._names}
        for name in self._names:
            setattr(nn.init, name, lambda tensor, *_args, **_kwargs: tensor)

    def __exit__(self, *_: object) -> None:
        for name, function in self._kept.items():
            setattr(nn.init, name, function)


def draws(text: str, seed: int, **indices: int) -> list[Tensor]:
    """Every draw in a recipe. One without a shape of its own has the shape of the one before ("same shape")."""
    found, kind, shape = [], "standard_normal", ""
    for factor, stream, named, low, high, sizes in _DRAW.findall(text):
        kind, shape = (named, sizes) if named else (kind, shape)
        rng = philox(seed, _number(stream, indices))
        size = tuple(_number(part, indices) for part in shape.split(",") if part.strip())
        values = (
            rng.uniform(float(low or 0), float(high or 1), size) if kind == "uniform" else rng.standard_normal(size)
        )
        found.append(torch.from_numpy((values * float(factor or 1)).astype(np.float32)))
    return found


def ranges(text: str) -> dict[str, range]:
    """The subscripts of a recipe: "i in 0..1, j in 0..3"."""
    return {name: range(int(first), int(last) + 1) for name, first, last in re.findall(r"(\w) in (\d+)\.\.(\d+)", text)}


def subscripts(text: str) -> list[dict[str, int]]:
    """Every combination of them."""
    found = ranges(text)
    return [dict(zip(found, values, strict=True)) for values in product(*found.values())]


def _number(text: str, indices: Mapping[str, int]) -> int:
    """An integer expression of sums, differences and products of numbers and indices."""
    total = 0
    for sign, term in re.findall(r"([-+]?)\s*([\d\w*]+)", text):
        value = 1
        for part in term.split("*"):
            value *= indices[part] if part in indices else int(part)
        total += -value if sign == "-" else value
    return total
