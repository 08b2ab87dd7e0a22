"""Subdivision: closed forms on small meshes, and what the refined face promises."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.face.lighting import vertex_normals
from talkingface.face.morphable import load_mesh478
from talkingface.face.subdivision import border_vertices, mesh478_surface, oriented, plain_surface, subdivide
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER, face_triangles

MEAN = load_mesh478().mean.astype(np.float64)


def grid(columns: int = 5, rows: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A flat regular mesh: points [V, 3] and triangles."""
    r, c = np.divmod(np.arange(columns * rows), columns)
    cells = [i * columns + j for i in range(rows - 1) for j in range(columns - 1)]
    triangles = [t for a in cells for t in ((a, a + columns, a + 1), (a + 1, a + columns, a + columns + 1))]
    return np.stack([c, r, 0 * r], -1).astype(float), np.array(triangles, np.int32)


def angles_between_neighbours(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Degrees between the triangles on the two sides of each edge."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    sides: dict[tuple[int, int], list[int]] = {}
    for number, (i, j, k) in enumerate(triangles.tolist()):
        for edge in ((i, j), (j, k), (k, i)):
            sides.setdefault((min(edge), max(edge)), []).append(number)
    pairs = np.array([pair for pair in sides.values() if len(pair) == 2])
    cosines = (normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(-1)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def test_a_regular_mesh_is_halved():
    points, triangles = grid()
    step, finer, labels = subdivide(triangles, np.zeros(len(triangles)), len(points))
    new = step @ points
    middle = 2 * 5 + 2
    assert new[middle] == pytest.approx(points[middle]), "a regular interior vertex stays"
    assert len(finer) == 4 * len(triangles) == len(labels)
    assert new[:, 2].tolist() == [0] * len(new)
    a, b, c = (new[finer[:, k], :2] for k in range(3))
    areas = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (np.sign(areas) == np.sign(areas[0])).all(), "triangles keep their side"


def test_loops_mask_at_a_vertex_of_valence_six():
    points, triangles = grid()
    step, _, _ = subdivide(triangles, np.zeros(len(triangles)), len(points))
    weights = step[2 * 5 + 2].toarray().ravel()
    assert np.sort(weights[weights > 0]) == pytest.approx([1 / 16] * 6 + [10 / 16])


def test_borders_are_curves_of_their_own_and_corners_stay():
    points, triangles = grid()
    points[:, 2] = np.random.default_rng(0).normal(size=len(points))
    step, _, _ = subdivide(triangles, np.zeros(len(triangles)), len(points), corners=(0,))
    new = step @ points
    assert new[2] == pytest.approx(points[1] / 8 + points[2] * 3 / 4 + points[3] / 8)
    assert new[0] == pytest.approx(points[0])


def test_edges_between_labels_are_sharp():
    points, triangles = grid()
    labels = (points[triangles].mean(1)[:, 0] > 2).astype(int)
    points[:, 2] = np.abs(points[:, 0] - 2)  # a roof whose ridge runs down the middle
    step, _, _ = subdivide(triangles, labels, len(points))
    new = step @ points
    assert new[new[:, 0] == 2][:, 2] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("levels", [1, 2])
def test_refinement_is_affine(levels):
    surface = mesh478_surface(levels)
    rng = np.random.default_rng(1)
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    moved = surface.points(MEAN @ matrix + shift)
    assert moved == pytest.approx(surface.points(MEAN) @ matrix + shift, abs=1e-5)
    assert surface.points(np.stack([MEAN, 2 * MEAN]))[1] == pytest.approx(2 * surface.points(MEAN))


def test_the_points_keep_their_places():
    moved = np.linalg.norm(mesh478_surface().points(MEAN)[:478] - MEAN, axis=1)
    assert moved.mean() < 0.006 and moved.max() < 0.025  # eye distances: 0.5 and 2 mm


def test_no_facets_are_left():
    surface = mesh478_surface()
    coarse = angles_between_neighbours(MEAN, oriented(face_triangles(), 0))
    fine = angles_between_neighbours(surface.points(MEAN), surface.skin)
    assert np.percentile(fine, 95) < 0.25 * np.percentile(coarse, 95)
    assert np.median(fine) < 1.5


def test_every_triangle_shows_its_front_outwards():
    surface = mesh478_surface(1)
    points = surface.points(MEAN)
    normals = surface.normals(points)
    np.testing.assert_allclose(normals, vertex_normals(points, surface.triangles), atol=1e-4)
    used = np.unique(surface.triangles)
    outward = points[used] - [0, points[used][:, 1].mean(), 1.0]  # from a point inside the head
    assert ((normals[used] * outward).sum(-1) > 0).mean() > 0.98
    assert (normals[used][:, 2] < 0).mean() > 0.9


def test_the_mouth_is_a_hole_and_the_eyes_are_not():
    surface = mesh478_surface(1)
    border = set(border_vertices(surface.visible).tolist())
    assert {*INNER_LIP_UPPER, *INNER_LIP_LOWER} <= border
    assert not {159, 145, 386, 374} & border
    outline = set(border_vertices(surface.triangles).tolist())
    assert 10 in outline and 13 not in outline


def test_a_plain_surface_changes_nothing():
    surface = plain_surface(face_triangles(), len(MEAN))
    assert surface.points(MEAN) == pytest.approx(MEAN, abs=1e-6)
    assert surface.num_vertices == len(MEAN) and len(surface.visible) == len(face_triangles())
