"""The fundamental frequency of a voice by autocorrelation (Boersma 1993), as Praat's tracker finds it.

In windows of three periods of the lowest voice the autocorrelation, divided by that of the window, has a peak at the
period. Several peaks of each window stay candidates, beside "no voice"; the cheapest path through all windows decides.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft

_PERIODS = 3.0
_CANDIDATES = 15
_SILENCE, _OCTAVE_COST, _JUMP_COST, _VOICING_COST = 0.03, 0.01, 0.35, 0.14
_COST_STEP = 0.01  # seconds that the costs between windows are for
_FIRST_DEPTH, _DEPTH = 30, 70  # samples on either side that interpolation uses, at first and for the result
_BLOCK = 512  # windows at once: memory stays flat


def track_pitch(
    samples: np.ndarray,
    rate_hz: int = 16000,
    *,
    step: float = 0.02,
    floor_hz: float = 75.0,
    ceiling_hz: float = 600.0,
    voicing: float = 0.45,
) -> np.ndarray:
    """Frequencies float32 [T] in Hz of mono samples [N], every `step` seconds; 0 where there is no voice.

    The T windows are centred in the sound: T = floor((N / rate - 3 / floor) / step) + 1, none for shorter sound.
    `voicing`: how periodic a voice must be, 0 to 1. Values that are not finite raise ValueError.

    >>> t = np.arange(16000) / 16000
    >>> round(float(np.median(track_pitch(np.sin(2 * np.pi * 120 * t)))))
    120
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError("pitch is tracked in mono samples [N] that are finite")
    count = math.floor((len(samples) / rate_hz - _PERIODS / floor_hz) / step + 1e-9) + 1
    if count < 1:
        return np.zeros(0, np.float32)
    first = (len(samples) / rate_hz - (count - 1) * step) / 2
    times = first + np.arange(count) * step
    found = [
        _candidates(samples, rate_hz, times[start : start + _BLOCK], floor_hz, voicing)
        for start in range(0, count, _BLOCK)
    ]
    frequencies, strengths, peaks = (np.concatenate(parts) for parts in zip(*found, strict=True))
    loudest = np.abs(samples - samples.mean()).max()
    loudness = np.minimum(peaks / loudest, 1) if loudest > 0 else np.zeros(count)
    path = _cheapest_path(frequencies, strengths, loudness, step, ceiling_hz, voicing)
    return np.where(path < ceiling_hz, path, 0).astype(np.float32)


def _candidates(
    samples: np.ndarray, rate_hz: int, times: np.ndarray, floor_hz: float, voicing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequencies and strengths [T, K] of each window's peaks, 0 for none, and the window's loudest sample [T]."""
    period = int(rate_hz / floor_hz)
    half = int(_PERIODS / floor_hz * rate_hz) // 2 - 1
    length = 2 * half
    window = 0.5 - 0.5 * np.cos(np.arange(1, length + 1) * 2 * np.pi / (length + 1))
    left = np.floor(times * rate_hz - 0.5).astype(int)  # sample centres lie at one half
    margin = max(half, period)
    padded = np.pad(samples, (margin, margin + 1))
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * margin)[left + 1]
    mean = around[:, margin - period : margin + period].mean(1, keepdims=True)
    framed = (around[:, margin - half : margin + half] - mean) * window
    middle = period // 2 + 1
    peaks = np.abs(framed[:, max(0, half - middle) : half + middle]).max(1)
    lags = length // 2
    size = 1 << (int(1.5 * length) - 1).bit_length()
    spectrum = np.abs(np.asarray(scipy.fft.rfft(framed, size, axis=1))) ** 2
    correlation = np.asarray(scipy.fft.irfft(spectrum, axis=1))[:, : lags + 1]
    of_window = np.asarray(scipy.fft.irfft(np.abs(np.asarray(scipy.fft.rfft(window, size))) ** 2))[: lags + 1]
    scale = np.where(correlation[:, :1] > 0, correlation[:, :1], 1) * of_window / of_window[0]
    correlation = correlation / scale
    longest = min(int(length / _PERIODS) + 2, lags)
    inner = correlation[:, 2:longest]
    before, after = correlation[:, 1 : longest - 1], correlation[:, 3 : longest + 1]
    rows, columns = np.nonzero((inner > 0.5 * voicing) & (inner > before) & (inner >= after))
    frequencies = np.zeros((len(times), _CANDIDATES))
    strengths = np.zeros_like(frequencies)
    if not len(rows):
        return frequencies, strengths, peaks
    mirrored = np.concatenate([correlation[:, :0:-1], correlation], 1)
    slope = 0.5 * (after[rows, columns] - before[rows, columns])
    bend = 2 * inner[rows, columns] - before[rows, columns] - after[rows, columns]
    lag = columns + 2 + slope / bend
    strength = _reflected(_interpolated(mirrored, rows, lag + lags, _FIRST_DEPTH))
    # the strongest stay, in the order in which they were found; higher voices count a little more
    value = strength - _OCTAVE_COST * np.log2(floor_hz * lag / rate_hz)
    order = np.lexsort((-value, rows))
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = np.zeros(len(rows), bool)
    kept[order] = place < _CANDIDATES - 1
    rows, lag = rows[kept], columns[kept] + 2.0
    slot = np.arange(len(rows)) - np.searchsorted(rows, rows)
    lag, strength = _highest(mirrored, rows, lag + lags)
    frequencies[rows, slot] = rate_hz / (lag - lags)
    strengths[rows, slot] = _reflected(strength)
    return frequencies, strengths, peaks


def _reflected(strength: np.ndarray) -> np.ndarray:
    """Interpolation may find peaks above one, which mean as much less."""
    return np.where(strength > 1, 1 / np.maximum(strength, 1), strength)


def _interpolated(table: np.ndarray, rows: np.ndarray, places: np.ndarray, depth: int) -> np.ndarray:
    """Values [K] of `table` [T, L] in `rows` [K] at `places` [K] between its columns: a sinc under a raised cosine."""
    left = np.floor(places).astype(int)
    reach = np.minimum(np.minimum(depth, left + 1), table.shape[1] - 1 - left)[:, None]
    part = (places - left)[:, None]
    offset = np.arange(1 - depth, depth + 1)
    distance = part - offset
    edge = np.where(offset > 0, reach + 1 - part, reach + part)  # where the cosine is zero, on either side
    weight = np.sinc(distance) * (0.5 + 0.5 * np.cos(np.pi * distance / edge))
    weight = np.where((offset > -reach) & (offset <= reach), weight, 0)
    columns = np.clip(left[:, None] + offset, 0, table.shape[1] - 1)
    return (weight * table[rows[:, None], columns]).sum(1)


def _highest(table: np.ndarray, rows: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interpolated maximum within a column of `places` [K]: where and how high. Parabolas through three points,
    ever closer together."""
    width = 0.5
    for _ in range(6):
        low, middle, high = (_interpolated(table, rows, places + k * width, _DEPTH) for k in (-1, 0, 1))
        bend = 2 * middle - low - high
        moved = 0.5 * (high - low) / np.where(bend > 0, bend, 1)
        places = places + width * np.where(bend > 0, np.clip(moved, -1, 1), np.sign(high - low))
        width *= 0.3
    return places, _interpolated(table, rows, places, _DEPTH)


def _cheapest_path(
    frequencies: np.ndarray,
    strengths: np.ndarray,
    loudness: np.ndarray,
    step: float,
    ceiling_hz: float,
    voicing: float,
) -> np.ndarray:
    """The frequency [T] of each window on the best path through candidates [T, K], 0 for no voice."""
    voiced = (frequencies > 0) & (frequencies < ceiling_hz)
    silent = voicing + np.maximum(0, 2 - loudness / (_SILENCE / (1 + voicing)))
    logs = np.log2(np.where(frequencies > 0, frequencies, 1))
    value = np.where(voiced, strengths - _OCTAVE_COST * (math.log2(ceiling_hz) - logs), silent[:, None])
    jump, change = (_COST_STEP / step * cost for cost in (_JUMP_COST, _VOICING_COST))
    total, came = value[0], np.zeros(frequencies.shape, int)
    for t in range(1, len(value)):
        cost = np.where(
            voiced[t - 1][:, None] & voiced[t],
            jump * np.abs(logs[t - 1][:, None] - logs[t]),
            np.where(voiced[t - 1][:, None] == voiced[t], 0.0, change),
        )
        reached = total[:, None] - cost
        came[t] = reached.argmax(0)
        total = reached.max(0) + value[t]
    place = int(total.argmax())
    path = np.zeros(len(value))
    for t in range(len(value) - 1, -1, -1):
        path[t] = frequencies[t, place] if voiced[t, place] else 0
        place = int(came[t, place])
    return path
