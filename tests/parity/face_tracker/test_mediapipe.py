"""The face models give what MediaPipe 0.10.21, whose models they are, gave for the sample picture."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkingface.core.samples import sample
from talkingface.face.detector import Model, run_detector
from talkingface.face.mesh import find_mesh, region_of
from talkingface.face.networks import face_models, see_square, to_input
from talkingface.video.image import read_image

TURNS_DEG = (0, 20)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent.parent / "data" / "face_tracker" / "mediapipe.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.ascontiguousarray(read_image(sample("portrait")).rgb)


@pytest.mark.parametrize("model", ["short_range", "full_range"])
def test_detectors(recorded: dict[str, np.ndarray], picture: np.ndarray, model: Model) -> None:
    found = run_detector(picture, model)
    assert len(found) == 1
    answer = [*found[0].box, *found[0].points.ravel(), found[0].score]
    np.testing.assert_allclose(answer, recorded[model], atol=0.01)


@pytest.mark.parametrize("number", range(len(TURNS_DEG)))
def test_mesh_follows_its_own_points(recorded: dict[str, np.ndarray], picture: np.ndarray, number: int) -> None:
    x, y, side = (int(value) for value in recorded["square"])
    square = picture[y : y + side, x : x + side]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), TURNS_DEG[number], 1.0)
    square = cv2.warpAffine(square, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    frames = recorded["mesh"][number]
    for before, after in itertools.pairwise(frames):
        mesh = find_mesh(square, region_of(before))
        assert mesh.presence > 0.99
        np.testing.assert_allclose(mesh.points, after, atol=0.02)


def test_matte(recorded: dict[str, np.ndarray], picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    small = see_square(picture, np.array([[0, height], [0, 0], [width, 0], [width, height]]), 256)
    matte = face_models().networks["matte"](to_input(small))[0][0, 0]
    found = cv2.resize(cv2.resize(matte, (width, height)), (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found, recorded["matte"], atol=2e-3)
