"""What is counted between the lips, on painted mouths."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.systems.portrait.inner_mouth import OPENINGS, Table, inner_mask, inner_measures, opening_of
from faces import mesh_points, open_mouth

SKIN = np.array([200.0, 150.0, 130.0])
TEETH, TONGUE, CAVITY = (210, 200, 185), (150, 70, 70), (40, 22, 22)


def painted_mouth(*bands: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A face of one colour whose open mouth shows bands of colours from top to bottom, and its landmarks."""
    points = open_mouth(mesh_points(60), 0.3)
    rgb = np.full((256, 256, 3), SKIN, np.uint8)
    box, mask = inner_mask(points, rgb.shape)
    colours = np.array(bands)[np.arange(len(mask)) * len(bands) // len(mask)]
    rgb[box] = np.where(mask[..., None] > 0, colours[:, None], rgb[box])
    return rgb, points


def measured(*bands: tuple[int, int, int]) -> np.ndarray:
    rgb, points = painted_mouth(*bands)
    found = inner_measures(rgb, points, SKIN)
    assert found is not None
    return found


def test_teeth_tongue_and_cavity_are_told_apart():
    assert measured(TEETH)[1:] == pytest.approx([1, 0])
    assert measured(TONGUE)[1:] == pytest.approx([0, 1])
    assert measured(CAVITY)[1:] == pytest.approx([0, 0])
    assert measured(tuple(SKIN.astype(int)))[1:] == pytest.approx([0, 0])
    assert measured(CAVITY)[0] < 0.2 < measured(TONGUE)[0] < measured(TEETH)[0]
    assert 0.2 < measured(TEETH, TONGUE, CAVITY)[1] < 0.5


def test_light_does_not_change_what_is_counted():
    rgb, points = painted_mouth(TEETH, TONGUE, CAVITY)
    bright, dim = inner_measures(rgb, points, SKIN), inner_measures(rgb // 2, points, SKIN / 2)
    assert bright is not None and dim is not None
    assert dim == pytest.approx(bright, abs=0.03)


def test_a_shut_mouth_has_no_inside():
    rgb, points = painted_mouth(CAVITY)
    assert inner_measures(rgb, mesh_points(20), SKIN) is None
    far = points + (1000, 0, 0)
    assert inner_measures(rgb, far, SKIN) is None
    assert cv2.countNonZero(inner_mask(points, rgb.shape)[1]) > 100


def test_verdicts_by_opening():
    assert [opening_of(gap) for gap in (0.0, OPENINGS[0], 0.13, 0.9)] == [-1, 0, 2, 4]
    table = Table()
    for _ in range(10):
        table.add(1, np.array([0.5, 0.2, 0.1]), np.array([0.5, 0.4, 0.1]))
        table.add(2, None, np.array([0.5, 0.4, 0.1]))
    table.add(4, np.ones(3), np.ones(3))
    verdicts = {row.name: row.met for row in table.rows()}
    assert len(verdicts) == 18
    values = {row.name: row.value for row in table.rows()}
    assert values["teeth, mean difference of a frame"] == pytest.approx(0.2 * 10 / 11)
    assert verdicts["brightness, drawn over real, gap 0.06 to 0.1"] is True
    assert verdicts["teeth, drawn over real, gap 0.06 to 0.1"] is False
    assert [met for name, met in verdicts.items() if name.endswith("(1 frames)")] == [None] * 3
    assert table.frames == [0, 10, 0, 0, 1]
