"""Channels of speech mixed into one, so that those that are inverted do not cancel the others."""

from __future__ import annotations

import numpy as np

_OPPOSED = -0.5
"""Correlation; below it the mean of two channels has less than a quarter of their power."""
_HEARD = 1e-4
"""Power over that of the loudest channel; what is softer is no speech."""


def opposed(products: np.ndarray) -> tuple[int, ...]:
    """Signs (1 or -1) under which the channels do not cancel each other; empty where they do not anyway.

    `products` [C, C]: sums over time of channel times channel.
    """
    power = np.diag(products)
    order = [at for at in np.argsort(-power, kind="stable") if power[at] > _HEARD * power.max()]
    signs = np.ones(len(power), int)
    for place, at in enumerate(order):
        for other in order[:place]:
            if signs[other] * products[at, other] < _OPPOSED * np.sqrt(power[at] * power[other]):
                signs[at] = -1
                break
    return tuple(signs.tolist()) if signs.min() < 0 else ()


def mix(samples: np.ndarray, notes: list[str] | None = None) -> np.ndarray:
    """The mean of the channels of float32 [C, N]: float32 [N]. Those that cancel others are inverted, and a sentence
    about it is appended to `notes`."""
    signs = opposed(samples.astype(np.float64) @ samples.T) if len(samples) > 1 and samples.size else ()
    if not signs:
        return samples.mean(0)
    if notes is not None:
        notes.append(mix_note(signs))
    return (samples * np.array(signs, np.float32)[:, None]).mean(0)


def mix_note(signs: tuple[int, ...]) -> str:
    """The sentence for the user about channels that are inverted."""
    turned = [str(at + 1) for at, sign in enumerate(signs) if sign < 0]
    which = f"channel {turned[0]} is" if len(turned) == 1 else f"channels {', '.join(turned)} are"
    return f"the channels of the speech cancel each other; {which} inverted before mixing"
