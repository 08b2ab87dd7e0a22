"""Background matching (section 3.3 of the 2020 paper): the frame of the short video for each frame of the new speech.

The head motion that is shown is always real motion of the person, faster, slower or backwards. Predicted poses choose
it. At key frames, where the predicted head turns back, the closest real pose is searched; between them the video's
frames are passed through evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.signal

_WINDOW = 7  # frames of smoothing
_THINNING_ORDER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSettings:
    """The choice of key frames and their matching; the defaults are those of 2020."""

    axis: int = 2
    """The angle whose turning points are key frames: 0 pitch, 1 yaw, 2 roll."""
    speed: int = 1
    """Frames of the short video that pass in one frame, at most."""
    keys_share: float = 0.1
    """Share of all frames to which key frames are thinned out."""
    min_gap: int = 3
    """Key frames closer than this lose the one with the smaller turn; 0 keeps all (the journal version)."""
    relative: bool = False
    """Search the real pose at the last key frame plus the predicted change (the journal version), not the predicted
    pose itself. The first key frame is matched by its pose; the journal's text leaves it open."""

    def __post_init__(self) -> None:
        if not 0 <= self.axis <= 2 or self.speed < 1 or not 0 < self.keys_share <= 1 or self.min_gap < 0:
            raise ValueError("axis is 0 to 2, speed at least 1, keys_share in (0, 1], min_gap at least 0")


JOURNAL = MatchSettings(min_gap=0, relative=True)  # the settings of the journal version


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """`source` [N]: the frame of the short video for each new frame; `keys` [K] and `key_source` [K]: those of the key
    frames, first and last frame included."""

    source: np.ndarray
    keys: np.ndarray
    key_source: np.ndarray


def match_background(predicted: np.ndarray, real: np.ndarray, settings: MatchSettings | None = None) -> Matched:
    """Choose frames of the short video by angles: `predicted` [N, >= 3] of the new frames, `real` [M, >= 3] of its own.

    Columns 0 to 2 are pitch, yaw and roll in radians; others are ignored. Raises ValueError without frames. One frame
    is enough; the original needed seven for its smoothing, and from seven on nothing differs.
    """
    settings = settings or MatchSettings()
    predicted, real = (np.asarray(angles, np.float64)[:, :3] for angles in (predicted, real))
    if not len(predicted) or not len(real):
        raise ValueError("there are no frames to match")
    keys = key_frames(predicted, settings)
    key_source = match_keys(predicted[keys], real, keys, settings)
    source = np.rint(np.interp(np.arange(len(predicted)), keys, key_source)).astype(np.int64)
    return Matched(source=source, keys=keys, key_source=key_source)


def smooth(values: np.ndarray) -> np.ndarray:
    """[N] under a normalised Hann window of seven frames, mirrored at the ends."""
    window = np.hanning(_WINDOW)
    mirrored = np.pad(values, _WINDOW // 2, mode="reflect")
    return np.convolve(mirrored, window / window.sum(), mode="valid")


def key_frames(angles: np.ndarray, settings: MatchSettings) -> np.ndarray:
    """Turning points of the smoothed angle, thinned out, and both end frames of `angles` [N, 3]: ascending [K]."""
    turn = smooth(angles[:, settings.axis])
    keys = _extrema(turn, 1)
    while len(keys) > len(turn) * settings.keys_share:
        keys = keys[_extrema(turn[keys], _THINNING_ORDER)]
    kept: list[int] = []
    turns = np.abs(angles).max(1)
    for key in keys.tolist():
        if not kept or key - kept[-1] >= settings.min_gap:
            kept.append(key)
        elif turns[key] > turns[kept[-1]]:
            kept[-1] = key
    return np.unique([0, *kept, len(turn) - 1])


def _extrema(values: np.ndarray, order: int) -> np.ndarray:
    """Indices of strict maxima and minima among `order` neighbours on each side; never at the ends."""
    places = [scipy.signal.argrelextrema(values, beats, order=order)[0] for beats in (np.greater, np.less)]
    return np.sort(np.concatenate(places))


def match_keys(wanted: np.ndarray, real: np.ndarray, keys: np.ndarray, settings: MatchSettings) -> np.ndarray:
    """The frame of `real` [M, 3] for each key frame with angles `wanted` [K, 3]: [K], within reach of the one
    before."""
    chosen = [int(np.abs(real - wanted[0]).sum(1).argmin())]
    for k in range(1, len(keys)):
        last, reach = chosen[-1], settings.speed * int(keys[k] - keys[k - 1])
        target = real[last] + wanted[k] - wanted[k - 1] if settings.relative else wanted[k]
        low = max(0, last - reach)
        chosen.append(low + int(np.abs(real[low : last + reach] - target).sum(1).argmin()))
    return np.array(chosen, np.int64)


def ping_pong(count: int, frames: int) -> np.ndarray:
    """The published mode "poses from short video": `frames` forwards, backwards, forwards ..., both ends twice:
    [count].

    >>> ping_pong(7, 3).tolist()
    [0, 1, 2, 2, 1, 0, 0]
    """
    if frames < 1:
        raise ValueError("the short video has no frames")
    place = np.arange(count) % (2 * frames)
    return np.minimum(place, 2 * frames - 1 - place)


def make_records(expression: np.ndarray, real: np.ndarray, shift: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The published record of each new frame, [N, E + 9]: the predicted `expression` [N, E]; pose `real` [M, 6] and
    crop shift [M, 2] in pixels of its `source` frame [N]; and the number of that frame."""
    return np.concatenate([expression, real[source], shift[source], source[:, None]], axis=1)
