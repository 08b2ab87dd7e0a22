"""Inputs that several recordings of `headpose` share, made from what their JSON says."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from parity.fixtures import Fixture
from talkingface.face.bfm import NOISE
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.official.face.convention import flipped


def wavy_picture(width: int, height: int) -> np.ndarray:
    """The smooth colourful test picture of the recordings, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    channels = [
        127
        + 50 * np.sin(2 * np.pi * (x / 41 + 0.3 * k))
        + 50 * np.cos(2 * np.pi * (y / 57 + 0.2 * k))
        + 20 * np.sin(2 * np.pi * (x + y) / (17 + 4 * k))
        for k in range(3)
    ]
    return np.floor(np.clip(np.stack(channels, -1), 0, 255)).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Recorded3D:
    """The synthetic face model of a recording, and the coefficient row float64 [1, 257] that it was recorded for."""

    model: LinearFaceModel
    coefficients: np.ndarray


def recorded_3d(fixture: Fixture) -> Recorded3D:
    """A bent sheet with random bases and a hole, as the recording describes it."""
    columns, rows = (int(n) for n in re.findall(r"W = (\d+) columns, H = (\d+) rows", fixture.inputs["grid"])[0])
    r, c = np.divmod(np.arange(columns * rows), columns)
    x, y = -0.9 + 1.8 * c / (columns - 1), 1 - 2 * r / (rows - 1)
    mean = np.stack([x, y, 0.75 - 0.55 * x**2 - 0.35 * y**2], -1)
    basis = {name: _factor(fixture, name) * fixture.draw(name) for name in ("id_base", "exp_base", "tex_base")}
    draw = fixture.draw("coefficients")
    coefficients = draw * np.repeat([0.7, 0.15, 0.08, 0.05, 0.1], [224, 3, 27, 2, 1])
    coefficients[:, -1] += 0.3
    keypoints = (5 * np.arange(68)) % len(mean)
    signs = np.array([1, -1, -1])[:, None]
    model = LinearFaceModel(
        name="recorded",
        mean=flipped(mean),
        identity=basis["id_base"].reshape(len(mean), 3, -1) * signs,
        expression=basis["exp_base"].reshape(len(mean), 3, -1) * signs,
        num_mouth=basis["exp_base"].shape[-1],
        triangles=_sheet(columns, rows),
        noise=NOISE,
        landmarks=keypoints,
        tracked=np.arange(68),
        landmarks68=keypoints,
        mean_texture=np.clip(140 + 30 * fixture.draw("mean_texture"), 30, 230).reshape(-1, 3),
        texture=basis["tex_base"].reshape(len(mean), 3, -1),
    )
    return Recorded3D(model, coefficients)


def _factor(fixture: Fixture, name: str) -> float:
    return float(fixture.inputs[name].split("*")[0])


def _sheet(columns: int, rows: int) -> np.ndarray:
    hole = {(2 * rows // 3, columns // 2), (2 * rows // 3, columns // 2 - 1)}
    cells = [(r, c) for r in range(rows - 1) for c in range(columns - 1) if (r, c) not in hole]
    corners = [r * columns + c for r, c in cells]
    triangles = [((a, a + columns, a + 1), (a + 1, a + columns, a + columns + 1)) for a in corners]
    return np.array(triangles, np.int32).reshape(-1, 3)
