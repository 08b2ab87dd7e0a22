"""How often each clip is drawn into batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def person_shares(
    people: Sequence[str], amounts: Sequence[float], *, power: float = 0.5, most: float = np.inf
) -> np.ndarray:
    """Weights [N] of clips of `people` that hold `amounts`, not normalised.

    A person counts by a `power` of all that is there of them, `most` at most: who left much is drawn more than others,
    but not in proportion. Each of their clips has its share of that.
    """
    totals: dict[str, float] = {}
    for person, amount in zip(people, amounts, strict=True):
        totals[person] = totals.get(person, 0.0) + amount
    weights = {person: min(total, most) ** power / total for person, total in totals.items() if total > 0}
    return np.array([amount * weights.get(person, 0.0) for person, amount in zip(people, amounts, strict=True)])
