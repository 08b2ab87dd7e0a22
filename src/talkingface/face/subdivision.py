"""A finer, smooth surface through a coarse mesh: Loop subdivision (Loop 1987) with sharp borders (Hoppe et al. 1994).

Subdivision is linear in the vertices, so a mesh that moves is refined by one sparse matrix made once. The 478 points of
the face mesh are 1.7 mm to 12 mm apart; three steps bring 27,000 vertices, one to a pixel of a face 170 px wide: fine
enough for a colour at each and for round outlines.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from talkingface.core.types import NUM_POINTS
from talkingface.face.topology import eye_triangles, mouth_triangles, skin_triangles

LEVELS = 3
Sparse = Any
"""A `scipy.sparse.csr_matrix`, which scipy itself does not describe to a type checker."""
_FRONT = (0, 37, 11)  # a triangle of the upper lip as seen from outside
_CORNERS = (78, 308, 33, 133, 362, 263)  # of mouth and eyes: borders meet there at an angle


@dataclass(frozen=True)
class Surface:
    """A mesh to draw, whose vertices are `operator` [V', V] times those of a face model.

    Triangles int32 [F, 3] show their front outwards and come in groups: `skin` (lips included), `eyes` and `mouth`
    (they fill the openings).
    """

    operator: Sparse
    skin: np.ndarray
    eyes: np.ndarray
    mouth: np.ndarray

    @property
    def num_vertices(self) -> int:
        """Vertices of the drawn mesh."""
        return self.operator.shape[0]

    @functools.cached_property
    def triangles(self) -> np.ndarray:
        """Skin, eyes and mouth: a closed mask of a face."""
        return np.concatenate([self.skin, self.eyes, self.mouth])

    @functools.cached_property
    def visible(self) -> np.ndarray:
        """Skin and eyes: what is drawn of a face whose mouth opening is a hole."""
        return np.concatenate([self.skin, self.eyes])

    @functools.cached_property
    def _corners(self) -> Sparse:
        """[V', F]: 1 where a vertex is a corner of a triangle."""
        faces = np.repeat(np.arange(len(self.triangles)), 3)
        ones = np.ones(len(faces), np.float32)
        return sparse.csr_matrix((ones, (self.triangles.ravel(), faces)), (self.num_vertices, len(self.triangles)))

    def points(self, vertices: np.ndarray) -> np.ndarray:
        """The mesh's vertices [..., V', D] of the model's [..., V, D]; any quantity known per vertex will do."""
        flat = np.moveaxis(vertices, -2, 0)
        refined = self.operator @ flat.reshape(len(flat), -1)
        return np.moveaxis(refined.reshape(-1, *flat.shape[1:]), 0, -2).astype(vertices.dtype)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Unit normals float32 [V', 3] of the vertices at `points` [V', 3], as `lighting.vertex_normals` has them."""
        points = points.astype(np.float32)
        a, b, c = (points[self.triangles[:, k]] for k in range(3))
        normals = self._corners @ np.cross(b - a, c - a)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def plain_surface(triangles: np.ndarray, num_vertices: int) -> Surface:
    """The mesh of a model that is fine enough as it is: no change, all of it skin."""
    none = np.zeros((0, 3), np.int32)
    identity: Sparse = sparse.identity(num_vertices, np.float32, "csr")  # type: ignore[arg-type]
    return Surface(operator=identity, skin=triangles.astype(np.int32), eyes=none, mouth=none)


@functools.cache
def mesh478_surface(levels: int = LEVELS) -> Surface:
    """The 478 points refined: 1,843, 7,267 and 28,891 vertices for 1, 2 and 3 levels.

    The inner borders of lips and lids and the face's outline stay sharp. The points themselves are vertices 0 to 477
    and keep their places to half a millimetre on average (smoothing shrinks; the matrix undoes the first order of it).
    """
    groups = [skin_triangles(), eye_triangles(), mouth_triangles()]
    triangles = np.concatenate(groups)
    first = int(np.flatnonzero((np.sort(triangles, axis=1) == np.sort(_FRONT)).all(1))[0])
    triangles[first] = _FRONT
    triangles = oriented(triangles, first)
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    operator: Sparse = sparse.identity(NUM_POINTS, format="csr")
    for _ in range(levels):
        step, triangles, labels = subdivide(triangles, labels, operator.shape[0], _CORNERS)
        operator = step @ operator
    own = operator[:NUM_POINTS]
    operator = operator @ (2 * sparse.identity(NUM_POINTS, format="csr") - own)
    skin, eyes, mouth = (np.ascontiguousarray(triangles[labels == k]) for k in range(len(groups)))
    return Surface(operator=operator.astype(np.float32).tocsr(), skin=skin, eyes=eyes, mouth=mouth)


def subdivide(
    triangles: np.ndarray, labels: np.ndarray, num_vertices: int, corners: Sequence[int] = ()
) -> tuple[Sparse, np.ndarray, np.ndarray]:
    """One step of Loop's scheme: a matrix [V + E, V], four triangles for each [4 F, 3], and their labels [4 F].

    Old vertices come first. Edges at the mesh's border, and those between triangles of different `labels`, are sharp: a
    curve along them is refined for itself (cubic B-spline). `corners`, and vertices where other than two sharp edges
    meet, stay in place; so do vertices without triangles.
    """
    # each triangle's edge k lies opposite its corner k
    ends = np.sort(
        np.stack([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]], 1).reshape(-1, 2), axis=1
    )
    edges, edge_of, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(-1)
    sharp = (count != 2) | _differs(np.repeat(labels, 3), edge_of, len(edges))
    rows = [
        _vertex_rules(edges, sharp, num_vertices, corners),
        _edge_rules(edges, edge_of, sharp, triangles.ravel(), num_vertices),
    ]
    a, b, c = triangles.T
    x, y, z = num_vertices + edge_of.reshape(-1, 3).T
    parts = np.stack([[a, z, y], [z, b, x], [y, x, c], [x, y, z]]).transpose(2, 0, 1)
    return sparse.vstack(rows, "csr"), parts.reshape(-1, 3).astype(np.int32), np.repeat(labels, 4)


def _edges_of(triangles: np.ndarray) -> np.ndarray:
    """The ends [F, 3, 2] of each triangle's edges, the one opposite corner k at k."""
    return np.stack([triangles[:, [1, 2]], triangles[:, [2, 0]], triangles[:, [0, 1]]], 1)


def border_vertices(triangles: np.ndarray) -> np.ndarray:
    """Numbers of the vertices at the borders and holes of a mesh [F, 3]."""
    edges, count = np.unique(np.sort(_edges_of(triangles).reshape(-1, 2), axis=1), axis=0, return_counts=True)
    return np.unique(edges[count == 1])


def _differs(labels: np.ndarray, edge_of: np.ndarray, num_edges: int) -> np.ndarray:
    """Which edges have triangles of different labels."""
    low, high = np.full(num_edges, labels.max()), np.full(num_edges, labels.min())
    np.minimum.at(low, edge_of, labels)
    np.maximum.at(high, edge_of, labels)
    return low != high


def _vertex_rules(edges: np.ndarray, sharp: np.ndarray, num_vertices: int, corners: Sequence[int]) -> Sparse:
    """Where the old vertices go."""
    shape = (num_vertices, num_vertices)
    near = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape)
    along = sparse.coo_matrix((sharp.astype(float), edges.T), shape)
    near, along = (near + near.T).tocsr(), (along + along.T).tocsr()
    valence = np.asarray(near.sum(1)).ravel()
    creases = np.asarray(along.sum(1)).ravel()
    fixed = (valence == 0) | ((creases > 0) & (creases != 2))
    fixed[list(corners)] = True
    creased = ~fixed & (creases == 2)
    n = np.maximum(valence, 1)
    beta = (5 / 8 - (3 / 8 + np.cos(2 * np.pi / n) / 4) ** 2) / n
    beta[fixed | creased] = 0
    keep = np.where(creased, 3 / 4, 1 - n * beta)
    return (sparse.diags(keep) + sparse.diags(beta) @ near + sparse.diags(creased / 8) @ along).tocsr()


def _edge_rules(
    edges: np.ndarray, edge_of: np.ndarray, sharp: np.ndarray, opposite: np.ndarray, num_vertices: int
) -> Sparse:
    """Where the new vertices, one an edge, begin."""
    at = np.arange(len(edges))
    own = np.where(sharp, 1 / 2, 3 / 8)
    smooth = ~sharp[edge_of]
    values = np.concatenate([own, own, np.full(smooth.sum(), 1 / 8)])
    rows = np.concatenate([at, at, edge_of[smooth]])
    columns = np.concatenate([edges[:, 0], edges[:, 1], opposite[smooth]])
    return sparse.coo_matrix((values, (rows, columns)), (len(edges), num_vertices)).tocsr()


def oriented(triangles: np.ndarray, outwards: int) -> np.ndarray:
    """The triangles [F, 3] of a connected mesh with corners exchanged where needed, so that all agree with one.

    `outwards`: the triangle that already shows its front outwards.
    """
    edges = _edges_of(triangles)
    by_edge: dict[tuple[int, int], list[tuple[int, bool]]] = {}
    for number, three in enumerate(edges.tolist()):
        for a, b in three:
            by_edge.setdefault((min(a, b), max(a, b)), []).append((number, a < b))
    turned = {outwards: False}
    waiting = [outwards]
    while waiting:
        number = waiting.pop()
        for a, b in edges[number].tolist():
            upwards = (a < b) != turned[number]
            for other, other_upwards in by_edge[min(a, b), max(a, b)]:
                if other not in turned:
                    turned[other] = other_upwards == upwards  # neighbours run along their edge in opposite directions
                    waiting.append(other)
    flip = np.array([turned.get(number, False) for number in range(len(triangles))])
    return np.where(flip[:, None], triangles[:, [0, 2, 1]], triangles)
