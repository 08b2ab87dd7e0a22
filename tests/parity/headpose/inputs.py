"""Inputs of `headpose` that a recording describes in sentences: a face model on a grid, and a memory with its batch."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch

from parity.fixtures import Fixture, search
from parity.formula import evaluate
from talkingface.face.bfm import NOISE
from talkingface.face.deep3d import flipped
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.official.memory import MemoryBank

_CELL = re.compile(r"\((?:r = (?P<r>(?:[^(),]|\([^()]*\))+)|same r), c = (?P<c>(?:[^()]|\([^()]*\))+)\)")


def picture(fixture: Fixture, name: str) -> np.ndarray:
    """Input `name` as the picture that it is, uint8 [H, W, 3]."""
    return fixture.array(name).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Recorded3D:
    """The synthetic face model of a recording, and the coefficient row float64 [1, 257] that it was recorded for."""

    model: LinearFaceModel
    coefficients: np.ndarray


def recorded_3d(fixture: Fixture) -> Recorded3D:
    """A bent sheet with random bases and a hole, as the recording describes it."""
    sides = fixture.parts("grid")
    rows, columns = int(sides["H"]), int(sides["W"])
    r, c = (part.ravel() for part in np.mgrid[:rows, :columns])
    at = {"r": r, "c": c, "W": columns, "H": rows}
    grid = fixture.parts("grid", **at)
    mean = np.empty((rows * columns, 3))
    mean[evaluate(search(r"vertex (.+) at x", fixture.inputs["grid"])[1], **at)] = np.stack(
        [grid["x"], grid["y"], grid["z"]], -1
    )
    identity, expression, texture = (
        fixture.array(name).reshape(len(mean), 3, -1) for name in ("id_base", "exp_base", "tex_base")
    )
    keypoints = fixture.array("keypoints", N=len(mean))
    signs = np.array([1, -1, -1])[:, None]
    model = LinearFaceModel(
        name="recorded",
        mean=flipped(mean),
        identity=identity * signs,
        expression=expression * signs,
        num_mouth=expression.shape[-1],
        triangles=_triangles(fixture.inputs["triangles"], rows, columns),
        noise=NOISE,
        landmarks=keypoints,
        tracked=np.arange(len(keypoints)),
        landmarks68=keypoints,
        mean_texture=fixture.array("mean_texture").reshape(-1, 3),
        texture=texture,
    )
    return Recorded3D(model, fixture.array("coefficients"))


def _triangles(text: str, rows: int, columns: int) -> np.ndarray:
    """ "for each grid cell (r, c) except the two hole cells (r = .., c = ..) ..: [a, a+W, a+1], .. with a = .." """
    sides, holes, r = {"W": columns, "H": rows}, [], 0
    for found in _CELL.finditer(text):
        r = evaluate(found["r"], **sides) if found["r"] else r
        holes.append((r, evaluate(found["c"], **sides)))
    corner = search(r" with a = (.+)$", text)[1]
    made = []
    for r, c in np.ndindex(rows - 1, columns - 1):
        if (r, c) not in holes:
            a = evaluate(corner, r=r, c=c, **sides)
            made += [evaluate(f"[{corners}]", a=a, **sides) for corners in re.findall(r"\[(.+?)\]", text)]
    return np.array(made, np.int32)


def make_bank(fixture: Fixture) -> MemoryBank:
    """The memory before anything is written to it."""
    slots = fixture.config["mem_size"]
    return MemoryBank(
        key=fixture.input("key"),
        value=fixture.input("value"),
        age=fixture.input("age"),
        index=torch.from_numpy(fixture.array("top_index", M=slots)),
        own=torch.zeros(slots, dtype=torch.bool),
    )


def make_batch(fixture: Fixture) -> dict[str, torch.Tensor]:
    """The queries, true features and frame numbers of the recorded batch."""
    count, text = fixture.outputs["topk_slot"]["shape"][0], fixture.inputs["slots"]
    i, slots = np.arange(count), fixture.config["mem_size"]
    at = evaluate(search(r"targets slot (.+?);", text)[1], i=i, M=slots)
    moved, odd = search(r", (.+) for (even|odd) i", text).groups()
    value_at = np.where((i % 2 == 1) == (odd == "odd"), evaluate(moved, that=at, M=slots), at)
    return {
        "query": fixture.input("query", slots=at),
        "feature": fixture.input("identity", value_slots=value_at),
        "index": torch.from_numpy(fixture.array("data_index", i=i)),
    }
