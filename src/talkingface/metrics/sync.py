"""Time shifts between mouth and sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from talkingface.audio.mel import MEL_FPS, RATE_HZ, log_mel
from talkingface.core.lags import best_lag

VOICE_BANDS = slice(10, 62)
"""About 300 to 4000 Hz: what an opening mouth lets out."""
MIN_MINUTE_S = 20.0
"""What remains of a last minute counts if it is longer."""
DRIFT_WINDOW_S, DRIFT_HOP_S, DRIFT_MAX_S, DRIFT_CORRELATION = 10.0, 5.0, 1.0, 0.2
SHORTEST_DRIFT_S = 30.0


def speech_envelope(samples: np.ndarray, fps: float) -> np.ndarray:
    """Loudness of the voice band in dB on a video clock: float32 [N] at 16 kHz -> [T], T = duration x fps."""
    columns = log_mel(np.pad(samples.astype(np.float32), 200))
    loud = np.maximum(columns[:, VOICE_BANDS].mean(axis=1), -80.0)
    times = np.arange(int(len(samples) / 16000 * fps)) / fps
    smooth = np.convolve(np.pad(loud, 2, mode="edge"), np.ones(5) / 5, "valid")
    return np.interp(times * MEL_FPS, np.arange(len(smooth)), smooth)


def mouth_offset(gap: np.ndarray, samples: np.ndarray, fps: float, max_offset_s: float = 0.4) -> tuple[float, float]:
    """How late the mouth is against the sound: (seconds, correlation); negative: the mouth is early.

    `gap` [T] inner-lip gap at `fps`, `samples` mono at 16 kHz, both from time 0. Mouth and loudness are
    interpolated to 100 Hz before they are compared; the figure is good to about one frame.
    """
    times = np.arange(int(len(gap) / fps * MEL_FPS)) / MEL_FPS
    fine = np.interp(times, np.arange(len(gap)) / fps, gap)
    sound = speech_envelope(samples, MEL_FPS)
    length = min(len(fine), len(sound))
    if length < MEL_FPS // 2:
        return 0.0, 0.0
    lag, value = best_lag(sound[:length], fine[:length], int(max_offset_s * MEL_FPS))
    return lag / MEL_FPS, value


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteOffset:
    """One minute of a clip (the last may be shorter): when it starts, how late the mouth is, and the correlation."""

    start_s: float
    offset_s: float
    correlation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Offsets minute by minute, and their slope in ms per minute (nan when the clip is too short)."""

    minutes: tuple[MinuteOffset, ...]
    slope_ms_per_min: float


def offset_per_minute(gap: np.ndarray, samples: np.ndarray, fps: float) -> Drift:
    """`mouth_offset` of each minute, and the drift over the clip; gap [T] at `fps`, samples float32 [N] at 16 kHz.

    The drift is the slope of the offsets of windows of 10 s, one every 5 s, those left out in which mouth and
    loudness correlate by less than 0.2; a clip shorter than 30 s has none. Positive: the mouth falls behind.
    """
    length_s = min(len(gap) / fps, len(samples) / RATE_HZ)
    minutes = []
    for start_s in np.arange(0.0, max(length_s - MIN_MINUTE_S, 1.0), 60.0):
        part = mouth_offset(*_between(gap, samples, fps, start_s, start_s + 60), fps)
        minutes.append(MinuteOffset(start_s=float(start_s), offset_s=part[0], correlation=part[1]))
    slope = float("nan")
    if length_s >= SHORTEST_DRIFT_S:
        starts = np.arange(0.0, length_s - DRIFT_WINDOW_S + 1e-6, DRIFT_HOP_S)
        windows = [_between(gap, samples, fps, start, start + DRIFT_WINDOW_S) for start in starts]
        found = np.array([mouth_offset(*window, fps, DRIFT_MAX_S) for window in windows])
        sure = found[:, 1] >= DRIFT_CORRELATION
        slope = drift_slope(starts[sure], found[sure, 0])
    return Drift(minutes=tuple(minutes), slope_ms_per_min=slope)


def drift_slope(times_s: np.ndarray, offsets_s: np.ndarray) -> float:
    """Slope in ms per minute of offsets [N] in s at times [N] in s; nan for fewer than three.

    The median of the slopes of all pairs (Theil 1950, Sen 1968), which a few wrong offsets do not move.
    """
    if len(times_s) < 3:
        return float("nan")
    return 60_000 * float(np.asarray(theilslopes(offsets_s, times_s))[0])


def _between(
    gap: np.ndarray, samples: np.ndarray, fps: float, start_s: float, end_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Both signals from the first frame at or after `start_s`."""
    first, last = round(start_s * fps), round(end_s * fps)
    return gap[first:last], samples[round(first * RATE_HZ / fps) : round(last * RATE_HZ / fps)]
