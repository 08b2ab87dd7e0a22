"""How far apart two sets of features are, as wholes."""

from __future__ import annotations

import numpy as np

LEAST_ROWS = 10
"""Fewer pictures say nothing about a distribution."""


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of the normal distributions fitted to features [N, D] and [M, D]; nan for fewer than 10 rows.

    |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)). The last trace is the sum of the singular values of A B^T,
    with A and B the centred features over the root of N - 1 and M - 1: exact, also for fewer pictures than features,
    where it needs no matrix root. The figure grows as pictures get fewer: compare only equal numbers of them.
    """
    if min(len(a), len(b)) < LEAST_ROWS:
        return float("nan")
    centred, means, spread = [], [], 0.0
    for features in (a, b):
        values = features.astype(np.float64)
        means.append(values.mean(0))
        values = (values - means[-1]) / np.sqrt(len(values) - 1)
        spread += float((values**2).sum())
        centred.append(np.linalg.qr(values, mode="r") if len(values) > values.shape[1] else values)
    shared = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    return float(((means[0] - means[1]) ** 2).sum() + spread - 2 * shared)
