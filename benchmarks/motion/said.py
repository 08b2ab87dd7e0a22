"""Whether head, brows and eyes go with what is said: real clips, generated motion, and either with other words.

Shuffled means the motion of one clip with the voice of others: what chance gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import gaussian_filter1d

from benchmarks.targets import Row
from talkingface.face.phrases import KINDS
from talkingface.training.gesture_fit import blink_starts, gaze_shifts
from talkingface.training.speaking_clips import FPS

REACH = 20
"""Frames on either side of an event in which mean movements are looked for."""
NEAR = FPS // 2
"""Frames from a phrase's end or beginning that count as near it."""
STRONG, AT_STRESS = 0.8, 4
"""Stresses that count as strong, and frames on either side that belong to one."""
SLOW_FRAMES = 20.0
"""Movements slower than this are posture."""
SHUFFLES = 6
BROWS = (46, 53, 70, 63, 55, 65, 107, 66, 276, 283, 300, 293, 285, 295, 336, 296)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Of T frames: `pitch` in degrees (down is positive) and `raised` brows in hundredths of eye distances, both
    without posture; `blinks` and `shifts` of gaze, 1 where one begins. All [T]."""

    pitch: np.ndarray
    raised: np.ndarray
    blinks: np.ndarray
    shifts: np.ndarray

    def __len__(self) -> int:
        return len(self.pitch)

    def cut(self, length: int) -> Moves:
        """The first frames."""
        return Moves(**{item.name: getattr(self, item.name)[:length] for item in fields(self)})


Figure = Callable[[Sequence[Moves], Sequence[np.ndarray]], float]


def moves_of(pose: np.ndarray, brows: np.ndarray, blink: np.ndarray, gaze: np.ndarray) -> Moves:
    """From pose [T, 6], displacements of the face by its brows [T, 478, 3], closure [T, 1] and gaze [T, 2]."""
    return Moves(
        pitch=_quick(np.degrees(pose[:, 0])),
        raised=_quick(-100 * brows[:, BROWS, 1].mean(axis=1)),
        blinks=blink_starts(blink[:, 0]),
        shifts=gaze_shifts(gaze, blink[:, 0]),
    )


def _quick(values: np.ndarray) -> np.ndarray:
    return values - gaussian_filter1d(values.astype(np.float64), SLOW_FRAMES, mode="nearest")


def said_rows(
    real: Sequence[Moves], generated: Sequence[Sequence[Moves]], heard: Sequence[np.ndarray]
) -> Iterator[Row]:
    """Rows for clips that move as `real`, or as generated for each of several seeds, while events [T, E] are heard."""
    # far apart: neighbours in a data folder read like sentences, which begin at the same moment
    others = np.linspace(0, len(heard), SHUFFLES + 1, endpoint=False)[1:].astype(int).tolist()
    for name, figure in _FIGURES.items():
        kinds = {
            "real": _mean(figure, [real], heard, [0]),
            "real, shuffled": _mean(figure, [real], heard, others),
            "generated": _mean(figure, generated, heard, [0]),
            "generated, shuffled": _mean(figure, generated, heard, others),
        }
        chance = kinds["generated, shuffled"]
        for kind, value in kinds.items():
            target = {"target": f"> {chance:.2f}, shuffled", "met": value > chance} if kind == "generated" else {}
            yield Row(name=f"{name}: {kind}", value=value, **target)


def _mean(
    figure: Figure, motions: Sequence[Sequence[Moves]], heard: Sequence[np.ndarray], steps: Sequence[int]
) -> float:
    """The figure of each motion with the voice of the clip so many places on."""
    values = []
    for moves in motions:
        for step in steps:
            others = [heard[(k + step) % len(heard)] for k in range(len(heard))]
            lengths = [min(len(move), len(events)) for move, events in zip(moves, others, strict=True)]
            cut = [move.cut(length) for move, length in zip(moves, lengths, strict=True)]
            values.append(figure(cut, [events[:length] for events, length in zip(others, lengths, strict=True)]))
    return float(np.mean(values))


def _course(name: str, kind: str) -> Figure:
    """How far the mean course around events goes, from its lowest to its highest point."""

    def figure(moves: Sequence[Moves], heard: Sequence[np.ndarray]) -> float:
        total, count = np.zeros(2 * REACH), np.zeros(2 * REACH)
        for move, events in zip(moves, heard, strict=True):
            for frame in np.flatnonzero(events[:, KINDS.index(kind)]):
                at = np.arange(frame - REACH, frame + REACH)
                inside = (at >= 0) & (at < len(move))
                total[inside] += getattr(move, name)[at[inside]]
                count += inside
        return float(np.ptp(gaussian_filter1d(total / np.maximum(count, 1), 1.0)))

    return figure


def _blinks_at_ends(moves: Sequence[Moves], heard: Sequence[np.ndarray]) -> float:
    found = []
    for move, events in zip(moves, heard, strict=True):
        for end in np.flatnonzero(events[:, KINDS.index("end")]):
            if NEAR <= end < len(move) - NEAR:
                found.append(bool(move.blinks[end - NEAR : end + NEAR + 1].any()))
    return float(np.mean(found)) if found else float("nan")


def _shifts_at_edges(moves: Sequence[Moves], heard: Sequence[np.ndarray]) -> float:
    near, far = [], []
    for move, events in zip(moves, heard, strict=True):
        edges = events[:, [KINDS.index("end"), KINDS.index("start")]].any(axis=1)
        at = np.convolve(edges, np.ones(2 * NEAR + 1), "same")[: len(move)] > 0
        near.append(move.shifts[at])
        far.append(move.shifts[~at])
    return float(np.concatenate(near).mean() / max(np.concatenate(far).mean(), 1e-6))


def _nods(moves: Sequence[Moves], heard: Sequence[np.ndarray]) -> float:
    """Power of the pitch at strong stresses over that at other times of speech."""
    stressed, spoken = [], []
    for move, events in zip(moves, heard, strict=True):
        at = np.convolve(events[:, KINDS.index("stress")] >= STRONG, np.ones(2 * AT_STRESS + 1), "same") > 0
        edges = events[:, KINDS.index("start")] - (events[:, KINDS.index("end")] > 0)
        speaking = np.cumsum(edges) > 0
        stressed.append(move.pitch[at] ** 2)
        spoken.append(move.pitch[speaking & ~at] ** 2)
    return float(np.concatenate(stressed).mean() / max(np.concatenate(spoken).mean(), 1e-9))


_FIGURES: dict[str, Figure] = {
    "mean course of the pitch around phrases' beginnings, deg": _course("pitch", "start"),
    "mean course of the pitch around stresses, deg": _course("pitch", "stress"),
    "power of the pitch at strong stresses over that elsewhere in speech": _nods,
    "mean course of the brows around phrases' beginnings, % of eye distance": _course("raised", "start"),
    "mean course of the brows around stresses, % of eye distance": _course("raised", "stress"),
    "share of phrase ends with a blink within 0.5 s": _blinks_at_ends,
    "shifts of gaze within 0.5 s of phrases' edges over those elsewhere": _shifts_at_edges,
}
