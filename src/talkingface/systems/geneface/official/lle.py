"""Locally linear embedding: what was generated, put together from the nearest things that the person did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkingface.systems.geneface.official.landmarks import WITHOUT_MOUTH

NEIGHBOURS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Rows [T, C] as mixtures of K neighbours each: numbers int64 [T, K], nearest first, and weights [T, K], whose sum
    is one."""

    neighbours: np.ndarray
    weights: np.ndarray
    rows: np.ndarray


def project(rows: np.ndarray, known: np.ndarray, neighbours: int = NEIGHBOURS) -> Projection:
    """Rows [T, C] from their nearest among the `known` [N, C], N >= neighbours; memory is T x N numbers."""
    rows, known = np.asarray(rows, np.float64), np.asarray(known, np.float64)
    distances = (rows**2).sum(1)[:, None] - 2 * rows @ known.T + (known**2).sum(1)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :neighbours]
    found = known[nearest]
    weights = np.empty(nearest.shape)
    for row, near, weight in zip(rows, found, weights, strict=True):
        weight[1:] = np.linalg.lstsq((near[1:] - near[0]).T, row - near[0], rcond=None)[0]
        weight[0] = 1 - weight[1:].sum()
    return Projection(neighbours=nearest, weights=weights, rows=np.einsum("tk,tkc->tc", weights, found))


def mix(normalised: np.ndarray, known: np.ndarray, share: float, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Normalised landmarks [T, 204] with a `share` of their projection, at the points before the mouth's."""
    made = np.array(normalised, np.float64)
    first = slice(None, WITHOUT_MOUTH)
    projected = project(made[:, first], known[:, first], neighbours).rows
    made[:, first] = share * projected + (1 - share) * made[:, first]
    return made
