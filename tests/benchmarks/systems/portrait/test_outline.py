"""Errors at the outline of a head before stripes: painted ones, and those of the shipped portrait."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.systems.portrait.outline import (
    COLOURS,
    Turned,
    errors_of,
    make_stripes,
    put_before_stripes,
    rows,
    score,
)
from faces import drawn_picture, mesh_points
from talkingface import api
from talkingface.core.samples import sample
from talkingface.video.image import read_image


def turned(drawn: np.ndarray, truth: np.ndarray, uncovered: np.ndarray | None = None) -> Turned:
    """A head that is a disc of 100 pixels, above the mesh's chin."""
    alpha = np.zeros(truth.shape[:2], np.uint8)
    cv2.circle(alpha, (128, 128), 100, (255,), -1)
    hidden = np.zeros(alpha.shape, bool) if uncovered is None else uncovered
    return Turned(drawn, truth, alpha, hidden, mesh_points(50))


def test_errors_are_told_apart_by_place():
    truth = drawn_picture()
    assert set(errors_of(turned(truth, truth)).values()) == {0.0}
    bead = truth.copy()
    cv2.circle(bead, (128, 30), 4, (0, 255, 0), -1)
    found = errors_of(turned(bead, truth))
    assert found["outline"] == found["outline_seen"] > 50 and found["inside"] == found["outline_hidden"] == 0
    uncovered = np.zeros(truth.shape[:2], bool)
    uncovered[20:40, 118:138] = True
    hidden = errors_of(turned(bead, truth, uncovered))
    assert hidden["outline_hidden"] == found["outline"] and hidden["outline_seen"] == 0
    x, y = mesh_points(50)[1, :2].astype(int)
    smear = truth.copy()
    smear[y - 3 : y + 3, x - 3 : x + 3] = 255 - smear[y - 3 : y + 3, x - 3 : x + 3]
    inside = errors_of(turned(smear, truth))
    assert inside["inside"] > 20 and inside["outline"] == 0
    below = truth.copy()
    below[-40:] = 0
    assert set(errors_of(turned(below, truth)).values()) == {0.0}


def test_stripes_have_both_colours_and_soft_edges():
    stripes = make_stripes((200, 256))
    for colour in COLOURS:
        assert 0.3 < (stripes == colour).all(-1).mean() < 0.5
    assert np.abs(np.diff(stripes[..., 1].astype(int), axis=1)).max() < 160


def test_the_shipped_portrait_is_turned_before_stripes(tmp_path):
    rgb = read_image(sample("portrait")).rgb
    rgb = cv2.resize(rgb, (512, round(rgb.shape[0] * 512 / rgb.shape[1])), interpolation=cv2.INTER_AREA)
    found = score(api.load("portrait"), rgb, tmp_path / "sheets" / "a.png")
    assert found is not None and 5 < found["inside"] < 200 and found["outline"] > 20
    assert found["inside_mean"] < 12 and found["inside_mean"] < found["outline_mean"]
    assert read_image(tmp_path / "sheets" / "a.png").rgb.shape[1] == 512
    names = [row.name for row in rows([{"portrait": "a", **found}, {"portrait": "b", **found, "inside": 1000.0}])]
    assert any("worst (a)" in name for name in names)


def test_pictures_without_a_person_are_left_out():
    assert put_before_stripes(drawn_picture((512, 512))) is None
    assert rows([])[0].value == pytest.approx(0)
