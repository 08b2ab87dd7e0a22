from __future__ import annotations

from collections import Counter

import numpy as np

from faces import mesh_points
from talkingface.face import topology


def edges(triangles: np.ndarray) -> Counter[tuple[int, int]]:
    return Counter(
        (int(min(a, b)), int(max(a, b))) for t in triangles for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))
    )


def test_counts():
    assert topology.skin_triangles().shape == (852, 3)
    assert topology.eye_triangles().shape == (28, 3)
    assert topology.mouth_triangles().shape == (18, 3)
    assert len(topology.face_triangles()) == 898


def test_the_face_is_one_sheet_bounded_by_its_oval():
    counts = edges(topology.face_triangles())
    assert max(counts.values()) == 2, "no edge has three triangles"
    border = {edge for edge, count in counts.items() if count == 1}
    oval = topology.FACE_OVAL
    assert border == {tuple(sorted((a, b))) for a, b in zip(oval, (*oval[1:], oval[0]), strict=True)}


def test_openings_lie_between_lids_and_lips():
    assert set(topology.mouth_triangles().ravel()) == {*topology.INNER_LIP_UPPER, *topology.INNER_LIP_LOWER}
    lids = {*topology.RIGHT_EYE_UPPER, *topology.RIGHT_EYE_LOWER, *topology.LEFT_EYE_UPPER, *topology.LEFT_EYE_LOWER}
    assert set(topology.eye_triangles().ravel()) == lids


def test_lines_run_from_corner_to_corner_in_order():
    x = mesh_points()[:, 0]
    for line in (
        topology.INNER_LIP_UPPER,
        topology.INNER_LIP_LOWER,
        topology.OUTER_LIP_UPPER,
        topology.RIGHT_EYE_UPPER,
    ):
        assert (np.diff(x[list(line)]) > 0).all()
