"""How well sound and mouth fit together, judged by a small network trained for it: offset, confidence and distance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.face.mouth_view import MouthView

WEIGHTS = "sync_expert.v1"
MAX_LAG = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncScore:
    """Agreement of mouth and sound over a clip or window.

    `offset_frames`: how late the mouth is, in frames of 25 fps, with a fraction; `confidence`: median minus least of
    the distances over all lags; `distance`: the least distance, in [0, 2]; `lags` [31] from -15 to 15 and `distances`
    [31] of them; `frames`: how many frames it was taken from. offset and confidence are nan when nothing can be said.
    """

    offset_frames: float
    confidence: float
    distance: float
    lags: np.ndarray
    distances: np.ndarray
    frames: int


class SyncExpert:
    """The network with its weights. Example: `SyncExpert.load().score(view, samples).offset_frames`"""

    @classmethod
    def load(cls, weights: str | Path = WEIGHTS) -> SyncExpert:
        """Load by name or folder. Raises WeightsError for weights that are missing, altered or of something else."""
        raise NotImplementedError

    def score(self, view: MouthView, samples: np.ndarray) -> SyncScore:
        """Judge a whole clip: view (`face.mouth_view`) and samples float32 [N] mono at 16 kHz, both from time 0."""
        raise NotImplementedError

    def windows(
        self, view: MouthView, samples: np.ndarray, seconds: float = 5.0, hop_s: float = 1.0
    ) -> list[tuple[float, SyncScore]]:
        """(start in s, score) of windows of `seconds`, one each `hop_s`; a shorter clip gives one, of all there is."""
        raise NotImplementedError
