"""Inputs of `geneface` that recordings describe in sentences: cameras, ellipsoids of occupied cells, gains by name."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from parity.fixtures import Fixture, search
from parity.formula import evaluate
from talkingface.nn.ray_march import morton_cells

_NUMBERS = r"\(([-\d., ]+)\)"


def numbers(pattern: str, text: str) -> list[float]:
    """The numbers that stand in brackets behind `pattern`."""
    return [float(part) for part in search(pattern + r" " + _NUMBERS, text)[1].split(",")]


def ellipsoid(text: str, side: int) -> Tensor:
    """ "bit set for every cell .. inside the ellipsoid centre (..), radii (..)": bool [side^3] in Morton order."""
    centre, radii = torch.tensor(numbers("centre", text)), torch.tensor(numbers("radii", text))
    places = 2 * (morton_cells(side).double() + 0.5) / side - 1
    return (((places - centre.double()) / radii.double()) ** 2).sum(-1) < 1


def stated_camera(angles: np.ndarray, text: str) -> np.ndarray:
    """ "rotation from_euler('xyz', ..), translation (..)": camera to world, float64 [..., 4, 4]."""
    angles = np.asarray(angles, np.float64)
    made = np.broadcast_to(np.eye(4), (*angles.shape[:-1], 4, 4)).copy()
    made[..., :3, :3] = Rotation.from_euler("xyz", angles).as_matrix()
    made[..., :3, 3] = numbers("translation", text)
    return made


def rule_weights(fixture: Fixture) -> dict[str, Tensor]:
    """The drawn weights with what `config.after_rule` says was done to them."""
    state = fixture.weights()
    for rule in fixture.config.get("after_rule", ()):
        if found := re.search(r"embeddings of level l .* of every grid multiplied by ([\d.]+)\*\*l", rule):
            for name in (name for name in state if name.endswith(".embeddings")):
                _damp(state[name], grid_offsets(fixture, name), float(found[1]))
        elif found := re.fullmatch(r"(?:row (\d+) of )?(\S+) multiplied by ([\d.]+)", rule):
            part = state[found[2]] if found[1] is None else state[found[2]][int(found[1])]
            part *= float(found[3])
        else:
            raise ValueError(f"not understood: {rule}")
    return state


def grid_offsets(fixture: Fixture, embeddings: str) -> list[int]:
    """Where the levels of a grid begin, by the network that the test makes of the recording's config."""
    from talkingface.systems.geneface.official.radnerf import RadNerfConfig, make_grid

    rows = fixture.state[embeddings][0]
    config = RadNerfConfig.of(fixture.config)
    made = next(grid for grid in (make_grid(config, 3), make_grid(config, 2)) if len(grid.embeddings) == rows)
    return made.offsets.tolist()


def _damp(table: Tensor, offsets: list[int], factor: float) -> None:
    for level, (start, end) in enumerate(pairwise(offsets)):
        table[start:end] *= factor**level


def stated_number(pattern: str, text: str, **names: object) -> float:
    """A formula that stands in `text` where `pattern` captures it."""
    return evaluate(search(pattern, text)[1], **names)
