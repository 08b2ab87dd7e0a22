"""The band-limited resampler with which networks of the late 2010s were trained.

librosa 0.7 changed rates by a tabulated Kaiser-windowed sinc ("kaiser_best" of resampy before 0.4). Other good
resamplers differ from it at the top of the band by enough to move cepstral coefficients, so it is kept, with its table
and with what its table rounds. New networks take the resampler of `audio.read`.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from scipy.signal import upfirdn, windows

_ZERO_CROSSINGS, _STEPS = 64, 512
_ROLLOFF, _BETA = 0.9475937167399596, 14.769656459379492


def resample_kaiser(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """float [N] or [C, N] at `from_hz` -> float32 [M] or [C, M] at `to_hz`, M = floor(N to_hz / from_hz).

    Sample k is the sound at k / to_hz seconds: no delay. Whole numbers of Hz above zero.

    >>> resample_kaiser(np.zeros(48000), 48000, 16000).shape
    (16000,)
    """
    if from_hz < 1 or to_hz < 1:
        raise ValueError(f"rates are whole numbers of Hz above zero, not {from_hz} and {to_hz}")
    samples = np.asarray(samples, np.float32)
    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    if up == down:
        return samples.copy()
    count = samples.shape[-1] * up // down
    kernel, centre = _kernel(up, down)
    # upfirdn starts where the kernel does: skip whole output samples until the kernel's centre has met sample 0
    skip = -(-centre // down)
    shifted = np.pad(kernel, (skip * down - centre, 0))
    filtered = upfirdn(shifted, samples, up, down, axis=-1)[..., skip : skip + count]
    missing = count - filtered.shape[-1]
    return np.pad(filtered, [(0, 0)] * (samples.ndim - 1) + [(0, missing)]).astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _kernel(up: int, down: int) -> tuple[np.ndarray, int]:
    """The filter at steps of 1 / up input samples, float32 [K], and the index of its centre.

    For each fraction that an output sample lies beyond an input sample, the table is entered at that fraction and then
    walked in whole steps on both sides, as the original does: its steps are rounded down, which moves far taps.
    """
    table = _table() * min(1.0, up / down)
    scale = min(1.0, up / down)
    step = int(scale * _STEPS)
    reach = -(-len(table) // step)
    weights = np.zeros((2 * reach + 1) * up)
    centre = reach * up
    taps = np.arange(reach)
    for phase in range(up):
        fraction = phase / up
        # sample n - i lies i + fraction before the output, sample n + 1 + i lies i + 1 - fraction after it
        weights[centre + phase + taps * up] = _look_up(table, scale * fraction * _STEPS + taps * step)
        weights[centre + phase - (taps + 1) * up] = _look_up(table, scale * (1 - fraction) * _STEPS + taps * step)
    return weights.astype(np.float32), centre


def _look_up(table: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.interp(places, np.arange(len(table)), table, right=0.0)


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """Half of the windowed sinc, 512 steps to each of 64 zero crossings: float64 [32769]."""
    half = _ZERO_CROSSINGS * _STEPS
    place = np.arange(half + 1) / _STEPS
    return _ROLLOFF * np.sinc(_ROLLOFF * place) * windows.kaiser(2 * half + 1, _BETA)[half:]
