from __future__ import annotations

import numpy as np
import pytest

from talkingface.systems.pcavs.alignment.align import SIZE_PX, warp
from talkingface.systems.pcavs.alignment.crop import loader_crop, network_matrix
from talkingface.systems.pcavs.official.paste import Place, Square

MATRIX = np.array([[0.6, -0.1, -20.0], [0.1, 0.6, -40.0]])


def paste(picture: np.ndarray, square: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return Place(picture, Square(network_matrix(matrix), len(square))).paste(square)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    y, x = np.mgrid[:420, :500]
    waves = [127 + 60 * np.sin(x / (21 + 3 * k)) + 40 * np.cos(y / (17 + 5 * k)) for k in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def covered(shape: tuple[int, int]) -> np.ndarray:
    """Which pixels lie within what the networks see."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    matrix = network_matrix(MATRIX)
    placed = np.stack([x, y], -1) @ matrix[:, :2].T + matrix[:, 2]
    return ((placed >= -1) & (placed <= SIZE_PX)).all(axis=-1)


def test_own_crop_changes_nothing(picture):
    drawn = loader_crop(warp(picture, MATRIX))
    pasted = paste(picture, drawn, MATRIX)
    difference = np.abs(pasted.astype(int) - picture)
    inside = covered(picture.shape[:2])
    assert inside.mean() > 0.3
    assert difference[~inside].max() == 0
    assert difference.max() <= 6 and difference[inside].mean() < 1


def test_drawn_face_is_seen(picture):
    drawn = np.full((SIZE_PX, SIZE_PX, 3), 127, np.uint8)
    drawn[80:140, 80:140] = 250, 10, 10
    back = np.linalg.inv(np.vstack([network_matrix(MATRIX), [0, 0, 1]])) @ (110, 110, 1)
    pasted = paste(picture, drawn, MATRIX)
    assert np.abs(pasted[round(back[1]), round(back[0])].astype(int) - (250, 10, 10)).max() < 8


@pytest.mark.parametrize("offset", (-35, 35))
def test_no_square_is_seen_in_another_light(offset):
    flat = np.full((420, 500, 3), 120, np.uint8)
    drawn = np.full((SIZE_PX, SIZE_PX, 3), 120 + offset, np.uint8)
    pasted = paste(flat, drawn, MATRIX).astype(int)
    steps = max(np.abs(np.diff(pasted, axis=axis)).max() for axis in (0, 1))
    assert steps <= 2
    middle = np.linalg.inv(np.vstack([network_matrix(MATRIX), [0, 0, 1]])) @ (112, 112, 1)
    assert abs(pasted[round(middle[1]), round(middle[0]), 0] - 120 - offset) <= 2


def test_a_crop_beyond_the_edge_and_one_beside_the_picture(picture):
    over = MATRIX.copy()
    over[:, 2] = 60, 30
    drawn = loader_crop(warp(picture, over, "replicate"))
    pasted = paste(picture, drawn, over)
    assert np.abs(pasted.astype(int) - picture).max() <= 6
    beside = MATRIX.copy()
    beside[:, 2] = 4000, 4000
    np.testing.assert_array_equal(paste(picture, drawn, beside), picture)
