"""How well sound and mouth match, scored by a small network: offset, confidence and distance.

The three figures are to be read like AV offset, LSE-C and LSE-D (Chung & Zisserman 2016; Prajwal et al. 2020), but
come from another network with another distance: compare them with figures of this network only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.audio.mel import HOP
from talkingface.audio.sync_mel import COLUMNS_PER_FRAME, sync_mel
from talkingface.core.config import from_dict
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.foreign import fit_tensors
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.mouth_view import VIEW_FPS, MouthView, without_contrast
from talkingface.nn.sync_config import SyncConfig
from talkingface.nn.sync_net_cpu import SyncNetCpu, tensor_shapes

WEIGHTS = "sync_expert.v1"
MAX_LAG = 15
LEAST_OVERLAP = 10
"""Frames that mouth and sound must share at a lag for it to be looked at."""
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncScore:
    """Agreement of mouth and sound over a clip or window.

    `offset_frames`: how late the mouth is, in frames of 25 fps, with a fraction; `confidence`: median minus least of
    the distances over all lags; `distance`: the least distance, in [0, 2] (one minus the mean cosine); `lags` [L] from
    -15 to 15 (fewer in clips shorter than a second) and `distances` [L] at them, lag k comparing the mouth with the
    sound k frames later; `frames`: how many it was taken from. offset, confidence and distance are nan when nothing
    can be said: silence, or less than half a second.
    """

    offset_frames: float
    confidence: float
    distance: float
    lags: np.ndarray
    distances: np.ndarray
    frames: int


class SyncExpert:
    """The network with its weights. Example: `SyncExpert.load().score(view, samples).offset_frames`"""

    def __init__(self, network: SyncNetCpu) -> None:
        self._network = network

    @classmethod
    def load(cls, weights: str | Path = WEIGHTS) -> SyncExpert:
        """Load by name or folder. Raises WeightsError for weights that are missing, altered or of something else."""
        ref = find_weights(weights)
        loaded = load_weights(ref)
        if loaded.card.get("kind") != "sync_expert":
            raise WeightsError(f"{ref.folder} holds no sync expert; name weights made by `talkingface train {WEIGHTS}`")
        try:
            config = from_dict(SyncConfig, loaded.card["config"])
            tensors = fit_tensors(loaded.tensors, tensor_shapes(config), str(ref.folder))
        except (KeyError, TypeError, UsageError, WeightsError) as error:
            raise WeightsError(f"{ref.folder}: tensors and config do not fit each other; install it again") from error
        return cls(SyncNetCpu(config, tensors))

    def score(self, view: MouthView, samples: np.ndarray) -> SyncScore:
        """Judge a whole clip: view (`face.mouth_view`) and samples float32 [N] mono at 16 kHz, both from time 0."""
        length = len(view)
        columns = sync_mel(samples, length)
        max_lag = min(MAX_LAG, length - LEAST_OVERLAP)
        if columns is None or max_lag < 1 or not view.seen.any():
            nothing = np.zeros(0)
            return SyncScore(offset_frames=np.nan, confidence=np.nan, distance=np.nan, lags=nothing, distances=nothing,
                             frames=0)  # fmt: skip
        mouth, weight = self._network.visual(view.shape, without_contrast(view.crops))
        sound = self._network.audio(columns)
        lags = np.arange(-max_lag, max_lag + 1)
        weights = (weight + _LEAST_WEIGHT) * view.seen
        distances = np.array([_distance(mouth, sound, weights, int(lag)) for lag in lags])
        if not np.isfinite(distances).all():  # no frame was seen at some lag
            distances = np.where(np.isfinite(distances), distances, np.nanmax(distances))
        least = int(np.argmin(distances))
        return SyncScore(
            # mouth[t] agrees with sound[t + lag]: a late mouth shows earlier sound
            offset_frames=-(lags[0] + vertex(distances, least)),
            confidence=float(np.median(distances) - distances[least]),
            distance=float(distances[least]),
            lags=lags,
            distances=distances,
            frames=int(view.seen.sum()),
        )

    def windows(
        self, view: MouthView, samples: np.ndarray, seconds: float = 5.0, hop_s: float = 1.0
    ) -> list[tuple[float, SyncScore]]:
        """(start in s, score) of windows of `seconds`, one each `hop_s`; a shorter clip gives one, of all there is.

        Each window is scored from its own frames and its own sound only.
        """
        length, hop = round(seconds * VIEW_FPS), max(1, round(hop_s * VIEW_FPS))
        found = []
        for first in range(0, max(1, len(view) - length + 1), hop):
            sound = samples[first * SAMPLES_PER_FRAME : (first + length) * SAMPLES_PER_FRAME]
            found.append((first / VIEW_FPS, self.score(cut_view(view, first, first + length), sound)))
        return found


SAMPLES_PER_FRAME = COLUMNS_PER_FRAME * HOP


def cut_view(view: MouthView, first: int, end: int) -> MouthView:
    """Frames `first` to `end` - 1 of a view."""
    return MouthView(crops=view.crops[first:end], shape=view.shape[first:end], seen=view.seen[first:end])


def _distance(mouth: np.ndarray, sound: np.ndarray, weights: np.ndarray, lag: int) -> float:
    count = len(mouth) - abs(lag)
    a, w = (x[max(0, -lag) :][:count] for x in (mouth, weights))
    b = sound[max(0, lag) :][:count]
    total = float(w.sum())
    return 1 - float(((a * b).sum(-1) * w).sum()) / total if total > 0 else float("nan")


def vertex(values: np.ndarray, least: int) -> float:
    """Where the parabola through the values around index `least` has its vertex; the index itself at the ends.

    >>> vertex(np.array([4.0, 1.0, 0.0, 1.0]), 2)
    2.0
    """
    if not 0 < least < len(values) - 1:
        return float(least)
    before, at, after = values[least - 1 : least + 2]
    bend = before - 2 * at + after
    return least + 0.5 * (before - after) / bend if bend > 0 else float(least)
