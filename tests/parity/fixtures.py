"""Recorded numbers of published systems: what they were made from, and how to compare with them.

A fixture is `NAME.json` (names, shapes, configuration, recipes of the inputs) beside `NAME.npz` (the outputs). They lie
in one folder a system, under `tests/parity/data` or the folder of `TALKINGFACE_PARITY`; sets recorded with another
seed, or other shapes, run unchanged, because everything is made from what the JSON says.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.rule import draw_tensor, philox

_DRAW = re.compile(r"Philox\(key=\[\d+, (\d+)\]\)\)\.(standard_normal|uniform)\((.*?\))\)")
_COUNTERS = "num_batches_tracked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One recording: the parsed JSON, and the arrays as they were stored."""

    name: str
    config: dict[str, Any]
    seed: int
    state: dict[str, tuple[int, ...]]
    """Official names of the weights and their shapes."""
    aliases: dict[str, str]
    """Official name -> the name whose drawn values both hold."""
    inputs: dict[str, Any]
    outputs: dict[str, dict[str, Any]]
    arrays: Mapping[str, np.ndarray]

    def weights(self, prefix: str = "") -> dict[str, Tensor]:
        """The drawn state dict under its official names, of those that start with `prefix` (which is kept).

        Aliased names share one tensor. A "gain" of the configuration scales what has two or more dimensions.
        """
        gain = float(self.config.get("gain", 1.0))
        made: dict[str, Tensor] = {}
        for name in (name for name in self.state if name.startswith(prefix)):
            source = self.aliases.get(name, name)
            if source not in made:
                made[source] = _tensor(source, self.state[name], self.seed, gain)
            made[name] = made[source]
        return {name: made[name] for name in self.state if name.startswith(prefix)}

    def draw(self, name: str) -> np.ndarray:
        """The random numbers in the recipe of input `name`, float64, before anything is done to them.

        The stream, kind and shape are read off the recipe's text ("Philox(key=[1, 7])" is stream 7 of the seed).
        """
        found = _DRAW.search(self.inputs[name])
        if found is None:
            raise ValueError(f"{self.name}: the recipe of {name} draws no random numbers: {self.inputs[name]}")
        stream, kind, arguments = int(found[1]), found[2], found[3]
        shape = tuple(int(n) for n in re.findall(r"\d+", arguments[arguments.index("(") :]))
        rng = philox(self.seed, stream)
        return rng.standard_normal(shape) if kind == "standard_normal" else rng.uniform(0, 1, shape)

    def input(self, name: str) -> Tensor:
        """Input `name` as a float32 tensor: its draw, with the factor, tanh or sigmoid that the recipe names."""
        text = self.inputs[name]
        values = self.draw(name)
        for factor in re.findall(r"^([\d.]+) \* numpy|\) \* ([\d.]+)", text):
            values = values * float(factor[0] or factor[1])
        values = values.astype(np.float32)
        if text.startswith("tanh"):
            values = np.tanh(values)
        elif text.startswith("sigmoid"):
            values = 1 / (1 + np.exp(-values))
        return torch.from_numpy(values)

    def stored(self, name: str) -> np.ndarray:
        """Output `name` as it was stored; "strided" ones are every n-th number, flat (see `assert_close`)."""
        return self.arrays[name]

    def pick(self, name: str, values: Tensor | np.ndarray) -> np.ndarray:
        """What was stored of output `name`, taken out of all its `values`, whose shape is checked."""
        values = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        shape = tuple(self.outputs[name]["shape"])
        assert values.shape == shape, f"{self.name}: {name} has shape {values.shape}, recorded was {shape}"
        strided = re.search(r"::(\d+)", self.outputs[name]["stored"])
        return values.ravel()[:: int(strided[1])] if strided else values

    def assert_close(self, name: str, values: Tensor | np.ndarray, tolerance: float) -> None:
        """The largest difference is at most `tolerance`, relative to the largest recorded number of output `name`."""
        ours, theirs = self.pick(name, values), self.stored(name)
        error = float(np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max())
        assert error <= tolerance, f"{self.name}: {name} is off by {error:.3g} of its largest number ({tolerance:g})"

    def assert_each_close(self, name: str, values: Tensor | np.ndarray, tolerance: float) -> None:
        """Each number alone is within `tolerance`, relative to itself: for lists of unlike quantities."""
        np.testing.assert_allclose(self.pick(name, values), self.stored(name), rtol=tolerance, err_msg=name)

    def assert_equal(self, name: str, values: Tensor | np.ndarray) -> None:
        """Exactly the recorded numbers (indices)."""
        np.testing.assert_array_equal(self.pick(name, values), self.stored(name), err_msg=name)


def load_fixture(system: str, name: str) -> Fixture:
    """The fixture `name` of `system`. Raises FileNotFoundError if it is not in the folder of recordings."""
    folder = parity_folder() / system
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return Fixture(
        name=name,
        config=facts["config"],
        seed=facts["seed"],
        state={key: tuple(shape) for key, shape in facts.get("state", ())},
        aliases=facts.get("aliases", {}),
        inputs=facts["inputs"],
        outputs=facts["outputs"],
        arrays=arrays,
    )


def parity_folder() -> Path:
    """Where the recordings lie: the folder that the variable TALKINGFACE_PARITY names, or the one beside this file."""
    named = os.environ.get("TALKINGFACE_PARITY")
    return Path(named).expanduser() if named else Path(__file__).resolve().parent / "data"


def _tensor(name: str, shape: tuple[int, ...], seed: int, gain: float) -> Tensor:
    if name.endswith(_COUNTERS):
        return torch.zeros(shape, dtype=torch.int64)
    values = draw_tensor(name, shape, seed)
    return torch.from_numpy(values * np.float32(gain) if gain != 1 and len(shape) > 1 else values)
