"""How well generated mouth measures (`face.mouth_measures`) follow the true ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkingface.audio.phones import PhoneSpan
from talkingface.core.lags import best_lag, correlation_at
from talkingface.face.mouth_measures import LOWER_LIP as LOWER_LIP
from talkingface.face.mouth_measures import UPPER_LIP as UPPER_LIP
from talkingface.face.mouth_measures import mouth_measures as mouth_measures

MEASURES = ("gap", "width", "jaw")
MAX_LAG = 3
CLOSED_GAP = 0.02
"""A gap below this, in inter-ocular distances, is a closed mouth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthAgreement:
    """How generated mouth measures follow the true ones; triples are gap, width, jaw."""

    correlation: tuple[float, float, float]
    """At each measure's own best lag within three frames."""
    lag_frames: tuple[int, int, int]
    """Those lags; positive: the true mouth is late."""
    aligned: tuple[float, float, float]
    """Correlation at lag 0 after shifting the clip by `offset_frames`."""
    offset_frames: int
    """One offset of the clip, the true mouth's against the sound."""
    ratios: tuple[float, float, float]
    """Standard deviations of the generated measures over the true ones'."""

    @property
    def gap_ratio(self) -> float:
        """The gap's."""
        return self.ratios[0]


def compare_mouths(generated: np.ndarray, true: np.ndarray, offset_frames: int = 0) -> MouthAgreement:
    """Compare measures [T, 3] frame by frame. `offset_frames`: how late the true mouth is in this clip.

    Raises ValueError when the shapes differ or fewer than 10 frames are given.
    """
    if generated.shape != true.shape or generated.ndim != 2 or len(true) < 10:
        raise ValueError(f"cannot compare measures of shapes {generated.shape} and {true.shape}")
    best = [best_lag(generated[:, k], true[:, k], MAX_LAG) for k in range(3)]
    aligned = [correlation_at(generated[:, k], true[:, k], offset_frames) for k in range(3)]
    ratios = (generated.std(0) / np.maximum(true.std(0), 1e-9)).tolist()
    return MouthAgreement(
        correlation=(best[0][1], best[1][1], best[2][1]),
        lag_frames=(best[0][0], best[1][0], best[2][0]),
        aligned=(aligned[0], aligned[1], aligned[2]),
        offset_frames=offset_frames,
        ratios=(ratios[0], ratios[1], ratios[2]),
    )


OPEN_VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY")
BILABIALS = ("P", "B", "M")


def reached_gaps(
    gap: np.ndarray, fps: float, spans: list[PhoneSpan], phones: tuple[str, ...], *, lowest: bool
) -> np.ndarray:
    """For each span of one of `phones`: the lowest (or highest) gap in it, one frame of tolerance at both ends.

    `gap` [T] at `fps` from time 0. Spans outside the clip are left out.
    """
    reached = []
    for span in spans:
        first = max(int(np.floor(span.start_s * fps)) - 1, 0)
        last = min(int(np.ceil(span.end_s * fps)) + 1, len(gap) - 1)
        if span.phone in phones and last > first:
            part = gap[first : last + 1]
            reached.append(float(part.min() if lowest else part.max()))
    return np.asarray(reached)


def open_share(gap: np.ndarray, limit: float) -> float:
    """Share of frames whose gap exceeds `limit`."""
    return float((gap > limit).mean()) if len(gap) else 0.0
