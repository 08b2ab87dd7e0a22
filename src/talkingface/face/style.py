"""A style (`core.style.Style`) laid on motion in space `mesh478` that was made from speech.

Gap, width and jaw are linear in the mouth coefficients (`measure_matrix`). Each is scaled by what the style's person
does over what the average speaker does, about the resting mouth; the rest of the mouth follows. A symmetric filter
makes movements crisper or softer. Lips that meet stay together: neither acts on a gap that looks closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from talkingface.core.motion import concatenate, cut_motion
from talkingface.core.style import AVERAGE, Style
from talkingface.core.types import Controls, Motion
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import measure_matrix

MOUTH, HEAD, BLINK, PACE = (0.4, 2.2), (0.3, 2.5), (0.3, 3.0), (0.85, 1.2)
"""Least and largest factors: what lies beyond looks like no speech, or tears the picture."""
REST_FOLLOWS = 0.35
"""Exponent of width and jaw by which the rest of the mouth is scaled: over people it goes with 0.27 and 0.45."""
BROW_FOLLOWS = 0.4
"""Exponent of the head's turns by which brows are scaled: over people they vary 0.3 as logarithms, turns 0.54, and go
together (correlation 0.75). What of a brow is the tracker's answer to a turned head cannot be told in a video."""
CRISPER, FARTHER = 2.2, 0.36
"""Of the filter [-a, 1 + 2 a, -a] on 25 frames a second: a over the change of pace, and by how much a makes movements
larger, which is taken off again. Medians over tracked speakers."""
SHUT, APART = 0.02, 0.05
"""Gaps in eye distances up to which lips are together, where nothing acts, and from which on all of it does."""
MOST_BLINK = 10.0  # that controls take
WIDEST = (0.28, 0.42)
"""A gap is bent from the first on and never exceeds the second; real ones exceed 0.33 once in a thousand frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """What a style multiplies: gap, width and jaw [3], the pace of the mouth, brows, head pose [6], the rate of
    blinks."""

    mouth: np.ndarray
    pace: float
    brow: float
    pose: np.ndarray
    blink: float


def style_factors(style: Style) -> Factors:
    """A style over the average speaker, within the limits."""

    def factor(name: str, limits: tuple[float, float]) -> float:
        return float(np.clip(getattr(style, name) / getattr(AVERAGE, name), *limits))

    turns = [factor(name, HEAD) for name in ("pitch", "yaw", "roll")]
    return Factors(
        mouth=np.array([factor(name, MOUTH) for name in ("opening", "width", "jaw")]),
        pace=factor("pace", PACE),
        brow=float(np.prod(turns) ** (BROW_FOLLOWS / 3)),
        pose=np.array([*turns, *[factor("shift", HEAD)] * 3], np.float32),
        blink=factor("blinks", BLINK),
    )


class MouthStyle:
    """Mouth coefficients in a style.

    `measures` [3, M]: change of gap, width and jaw per coefficient.
    """

    def __init__(self, factors: Factors, measures: np.ndarray) -> None:
        self._measures = measures.astype(np.float64)
        self._towards = np.linalg.pinv(self._measures)  # the likeliest change that makes each of them one larger
        self._crisp = CRISPER * (factors.pace - 1)
        self._mouth = factors.mouth / (1 + FARTHER * self._crisp)
        self._rest = float(np.prod(factors.mouth[1:]) ** REST_FOLLOWS)

    def lay(self, before: np.ndarray, rows: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Coefficients float32 [T, M] of `rows`, given each one's neighbours in time."""
        crisp = rows + self._crisp * (2 * rows - before - after).astype(np.float64)
        # sums over few terms in a fixed order: a row's result does not depend on how many rows come with it
        shut = np.einsum("tm,m->t", rows, self._measures[0])
        measures = np.einsum("tm,km->tk", crisp, self._measures)
        apart = _ramp(shut, SHUT, APART)
        # crisper lips do not meet where they did not
        gap = shut + apart * (self._mouth[0] * np.maximum(measures[:, 0], shut / 2) - shut)
        wanted = np.stack([_bent(gap), *(measures[:, 1:] * self._mouth[1:]).T], axis=1)
        rest = crisp - np.einsum("tk,mk->tm", measures, self._towards)
        laid = np.einsum("tk,mk->tm", wanted, self._towards) + rest * (1 + apart * (self._rest - 1))[:, None]
        return laid.astype(np.float32)


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    x = np.clip((values - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


def _bent(gap: np.ndarray) -> np.ndarray:
    first, most = WIDEST
    room = most - first
    return np.where(gap > first, first + room * np.tanh((gap - first) / room), gap)


def styled_motion(make: Callable[[Controls], Iterator[Motion]], controls: Controls) -> Iterator[Motion]:
    """Motion from speech, which `make` gives for controls, in the style that `controls` name.

    The result does not depend on how the motion is split. Each row waits for the one after it. The head is only scaled
    where it is generated; with frames of a clip behind it (`Motion.source`) head and brows are that person's own.
    """
    assert controls.style is not None
    factors, model = style_factors(controls.style), load_mesh478()
    mouth = MouthStyle(factors, measure_matrix(model))
    motions = make(replace(controls, blink=min(controls.blink * factors.blink, MOST_BLINK)))
    before: np.ndarray | None = None  # the mouth in the row before those held
    held: Motion | None = None
    for piece in motions:
        held = piece if held is None else concatenate([held, piece])
        if len(held) > 1:
            yield _laid(held, len(held) - 1, before, mouth, factors, model.num_mouth, controls)
            before = held.expression[-2:-1, : model.num_mouth]
            held = cut_motion(held, len(held) - 1, len(held))
    if held is not None and len(held):
        yield _laid(held, len(held), before, mouth, factors, model.num_mouth, controls)


def _laid(
    motion: Motion, count: int, before: np.ndarray | None, mouth: MouthStyle, factors: Factors, num_mouth: int,
    controls: Controls,
) -> Motion:  # fmt: skip
    """The first `count` rows in style; at either end of the speech the mouth stays as it is."""
    rows = motion.expression[:, :num_mouth]
    around = np.concatenate([rows[:1] if before is None else before, rows, rows[-1:]])
    laid = mouth.lay(around[:count], rows[:count], around[2 : count + 2])
    own = motion.source is not None
    brows = motion.expression[:count, num_mouth:] * np.float32(1 if own else factors.brow)
    cut = cut_motion(motion, 0, count)
    pose = cut.pose
    if pose is not None and controls.pose == "generated" and not own:
        pose = pose * factors.pose
    return replace(cut, expression=np.concatenate([laid, brows], axis=1), pose=pose)
