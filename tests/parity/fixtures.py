"""Recorded numbers of published systems: what they were made from, and how to compare with them.

A fixture is `NAME.json` (names and shapes of weights, configuration, recipes of the inputs) beside `NAME.npz` (the
outputs), in a folder a system, under `tests/parity/data` or the folder that the variable TALKINGFACE_PARITY names.
Everything is made from what the JSON says (`parity.recipe`, `parity.weights`), so sets that were recorded with other
seeds, formulas, shapes and numbers of inputs run unchanged.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.recipe import Recipes
from parity.weights import Rules, filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One recording: the parsed JSON, its inputs, and the outputs as they were stored."""

    name: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    recipes: Recipes

    @property
    def config(self) -> dict[str, Any]:
        """What was recorded."""
        return self.facts["config"]

    @property
    def seed(self) -> int:
        """Of the weights; recipes of inputs name their own."""
        return self.facts["seed"]

    @property
    def inputs(self) -> dict[str, Any]:
        """The recipes of the inputs as they are stated."""
        return self.facts["inputs"]

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """Shape, statistics and way of storing of each output."""
        return self.facts["outputs"]

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """Official names of the weights and their shapes."""
        return {name: tuple(shape) for name, shape in self.facts.get("state", ())}

    @property
    def aliases(self) -> dict[str, str]:
        """Official name -> the name whose drawn values both hold."""
        return self.facts.get("aliases", {})

    def rules(self, network: str | None = None) -> Rules:
        """The gains of the weights: (pattern of names, factor), of this recording or of one network in it."""
        if network is not None:
            return [(pattern, gain) for pattern, gain in self.config["gain_rules"][network]]
        gain = self.config.get("gain", self.facts.get("gain", 1.0))
        return [(pattern, gain) for pattern, gain in self.facts.get("gain_rules", [(".*", gain)])]

    def weights(self, prefix: str = "") -> dict[str, Tensor]:
        """The drawn state dict under its official names, of those that start with `prefix` (which is kept)."""
        kept = self.facts.get("kept", ())
        shapes = {name: shape for name, shape in self.state.items() if name.startswith(prefix) and name not in kept}
        return filled(shapes, self.seed, self.rules(), self.aliases)

    def array(self, name: str, **names: Any) -> Any:
        """Input `name` as its recipe says; `names` gives what the recipe leaves open."""
        return self.recipes.value(name, **names)

    def input(self, name: str, **names: Any) -> Tensor:
        """The same as a float32 tensor."""
        return torch.from_numpy(np.asarray(self.array(name, **names)).astype(np.float32))

    def parts(self, name: str, **names: Any) -> dict[str, Any]:
        """What the recipe of input `name` assigns, by name."""
        return self.recipes.parts(name, **names)

    def note(self, pattern: str) -> re.Match[str]:
        """Where the notes say `pattern`. Raises ValueError if they do not."""
        return search(pattern, "\n".join(_notes(self.facts)))

    def stored(self, name: str) -> np.ndarray:
        """Output `name` as it was stored; "strided" ones are every n-th number, flat (see `pick`)."""
        return self.arrays[name]

    def pick(self, name: str, values: Tensor | np.ndarray) -> np.ndarray:
        """What was stored of output `name`, taken out of all its `values`, whose shape is checked."""
        values = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        shape = tuple(self.outputs[name]["shape"])
        assert values.shape == shape, f"{self.name}: {name} has shape {values.shape}, recorded was {shape}"
        strided = re.search(r"::(\d+)", self.outputs[name]["stored"])
        return values.ravel()[:: int(strided[1])] if strided else values

    def check(self, name: str, values: Tensor, *, scalar: bool = False) -> None:
        """Output `name` agrees within the stated tolerance. `scalar`: a number that is stored as an array."""
        text, output = self.facts["tolerance"], self.outputs[name]
        of_std = re.search(r"atol ([\d.e-]+) of the output std", text)
        np.testing.assert_allclose(
            self.pick(name, values.reshape(output["shape"]) if scalar else values),
            self.stored(name),
            rtol=float(search(r"rtol ([\d.e-]+)", text)[1]),
            atol=float(of_std[1]) * output["std"] if of_std else 0.0,
            err_msg=name,
        )

    def assert_close(self, name: str, values: Tensor | np.ndarray, tolerance: float) -> None:
        """The largest difference is at most `tolerance`, relative to the largest recorded number of output `name`."""
        ours, theirs = self.pick(name, values), self.stored(name)
        error = float(np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max())
        assert error <= tolerance, f"{self.name}: {name} is off by {error:.3g} of its largest number ({tolerance:g})"

    def assert_each_close(self, name: str, values: Tensor | np.ndarray, tolerance: float) -> None:
        """Each number alone is within `tolerance`, relative to itself: for lists of unlike quantities."""
        np.testing.assert_allclose(self.pick(name, values), self.stored(name), rtol=tolerance, err_msg=name)

    def assert_pixels(self, name: str, values: np.ndarray, most: float, share: float = 1.0) -> None:
        """At least `share` of the pixel values are within `most` of the recorded ones."""
        off = np.abs(self.pick(name, values).astype(np.float64) - self.stored(name)) > most
        assert off.mean() <= 1 - share, f"{self.name}: {off.mean():.4%} of {name} are off by more than {most}"

    def assert_equal(self, name: str, values: Tensor | np.ndarray) -> None:
        """Exactly the recorded numbers (indices)."""
        np.testing.assert_array_equal(self.pick(name, values), self.stored(name), err_msg=name)


def search(pattern: str, text: str) -> re.Match[str]:
    """Where `text` says `pattern`. Raises ValueError if it does not."""
    if found := re.search(pattern, text):
        return found
    raise ValueError(f"nothing like {pattern!r} is stated in {text!r}")


def load_fixture(system: str, name: str) -> Fixture:
    """The fixture `name` of `system`. Raises FileNotFoundError if it is not in the folder of recordings."""
    folder = parity_folder() / system

    def facts_of(recording: str) -> dict[str, Any]:
        return json.loads((folder / f"{recording}.json").read_text(encoding="utf-8"))

    facts = facts_of(name)
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    recipes = Recipes(facts["inputs"], _notes(facts), lambda other, key: facts_of(other)["inputs"][key])
    return Fixture(name=name, facts=facts, arrays=arrays, recipes=recipes)


def fixture_names(system: str, pattern: str = "*") -> list[str]:
    """The recordings of `system` in the folder whose names match, for tests of all of a kind."""
    return sorted(path.stem for path in (parity_folder() / system).glob(f"{pattern}.json"))


def parity_folder() -> Path:
    """Where the recordings lie: the folder that the variable TALKINGFACE_PARITY names, or the one beside this file."""
    named = os.environ.get("TALKINGFACE_PARITY")
    return Path(named).expanduser() if named else Path(__file__).resolve().parent / "data"


def _notes(facts: Mapping[str, Any]) -> Sequence[str]:
    notes = facts.get("notes", [])
    return [notes] if isinstance(notes, str) else notes
