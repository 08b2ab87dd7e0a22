"""The figures of a style (`core.style.Style`), measured on a face that speaks.

Arrays are rows on a clock of 25 frames a second. Only frames that `counted` bool [T] names are used: the face is seen
and there is speech. They are taken in stretches of about four seconds, and a figure is the geometric mean over these:
how far a head wanders depends on how long it is watched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from talkingface.core.style import AVERAGE, FIGURES

FPS = 25
STRETCH_FRAMES = 100
OPEN_PERCENTILE = 90.0
"""Of the lip gap: tells people apart better than its mean or deviation. Logarithms vary by 0.50 between people and 0.26
within one, from stretch to stretch; those of the mean by 0.47 and 0.27, of the deviation by 0.42 and 0.24."""
_LEAST = 1e-4


class Evidence(NamedTuple):
    """By how much a figure tells people apart: logarithms' standard deviations `between` people and `within` one, from
    stretch to stretch."""

    between: float
    within: float

    def share(self, seconds: float) -> float:
        """What of a figure measured over `seconds` is the person's and not chance, 0 to 1."""
        noise = self.within**2 * STRETCH_FRAMES / FPS / max(seconds, 1e-9)
        return self.between**2 / (self.between**2 + noise)


EVIDENCE: Mapping[str, Evidence] = {
    "opening": Evidence(0.55, 0.23),
    "width": Evidence(0.34, 0.24),
    "jaw": Evidence(0.30, 0.18),
    "pace": Evidence(0.10, 0.14),
    "pitch": Evidence(0.54, 0.32),
    "yaw": Evidence(0.64, 0.52),
    "roll": Evidence(0.64, 0.51),
    "shift": Evidence(0.67, 0.43),
    "head_pace": Evidence(0.24, 0.24),
}
"""Over the train split of the development data (`bench --what average-style`)."""
_MOUTH, _HEAD = tuple(EVIDENCE)[:4], tuple(EVIDENCE)[4:]
BLINK_SHAPE = 2.1
"""Of the gamma distribution of people's blink rates: as good as having seen so many blinks at the average rate."""


def mouth_figures(measures: np.ndarray, counted: np.ndarray) -> dict[str, float]:
    """`opening`, `width`, `jaw` and `pace` of mouth measures [T, 3] (`face.mouth_measures`)."""
    logs = [_mouth(measures, rows) for rows in _stretches(counted)]
    return dict(zip(_MOUTH, np.exp(np.mean(logs, axis=0)).tolist(), strict=True))


def head_figures(pose: np.ndarray, counted: np.ndarray) -> dict[str, float]:
    """`pitch`, `yaw`, `roll`, `shift` and `head_pace` of pose rows [T, 6] (`core.types.Motion`)."""
    logs = [_head(pose, rows) for rows in _stretches(counted)]
    return dict(zip(_HEAD, np.exp(np.mean(logs, axis=0)).tolist(), strict=True))


def stretch_logs(measures: np.ndarray, pose: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Logarithms [K, 9] of the figures of `EVIDENCE`, in its order, for each of K stretches."""
    return np.array([[*_mouth(measures, rows), *_head(pose, rows)] for rows in _stretches(counted)])


def blink_rate(count: int, seconds: float) -> float:
    """Blinks a minute of a person who was seen to blink `count` times: the mean of the posterior under
    `BLINK_SHAPE`."""
    return (count + BLINK_SHAPE) / (seconds / 60 + BLINK_SHAPE / AVERAGE.blinks)


def drawn_to_average(figures: Mapping[str, float], seconds: float) -> dict[str, float]:
    """`figures` as far as `seconds` of speech are evidence for them; the rest is the average speaker's.

    Rounded to four digits.
    """
    drawn = {}
    for name, value in figures.items():
        average, share = FIGURES[name]["average"], EVIDENCE[name].share(seconds)
        estimate = average * (max(value, _LEAST) / average) ** share
        drawn[name] = float(f"{min(estimate, FIGURES[name]['most']):.4g}")
    return drawn


def _pace(rows: np.ndarray, at: np.ndarray) -> float:
    """Speed of `rows` [T, D] over two frames, which tracking noise hardly touches, over their deviation, in 1/s."""
    inner = at[(at > 0) & (at < len(rows) - 1)]
    speed = (rows[inner + 1] - rows[inner - 1]) * FPS / 2
    return float(np.sqrt(speed.var(axis=0).sum() / max(rows[at].var(axis=0).sum(), _LEAST**2)))


def _stretches(counted: np.ndarray) -> list[np.ndarray]:
    """The counted frames in equal parts of about `STRETCH_FRAMES`."""
    frames = np.flatnonzero(counted)
    return np.array_split(frames, max(1, round(len(frames) / STRETCH_FRAMES)))


def _mouth(measures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    spread = measures[rows].std(axis=0)
    opening = np.percentile(measures[rows, 0], OPEN_PERCENTILE)
    pace = math.sqrt(_pace(measures[:, :1], rows) * _pace(measures[:, 2:], rows))
    return np.log(np.maximum([opening, spread[1], spread[2], pace], _LEAST))


def _head(pose: np.ndarray, rows: np.ndarray) -> np.ndarray:
    spread = pose[rows].std(axis=0)
    values = [*np.degrees(spread[:3]), math.hypot(spread[3], spread[4]), _pace(pose[:, :3], rows)]
    return np.log(np.maximum(values, _LEAST))
