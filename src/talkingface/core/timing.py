"""The only place that converts seconds, samples and frames.

Rates are exact fractions, so an hour at 29.97 frames per second ends on the right frame. One rule for rounding: frame
k is on screen during [k / fps, (k + 1) / fps), so a time belongs to the frame at or before it (times closer than
a thousandth of a frame to the next frame count as that frame, which absorbs the rounding of container clocks), and a
duration needs every frame that begins inside it.
"""

from __future__ import annotations

import math
from fractions import Fraction

_SLACK = Fraction(1, 1000)  # of a frame or a sample


def as_rate(fps: float | Fraction) -> Fraction:
    """The exact rate meant by `fps`: 29.97 and 29.970029 become 30000/1001, 25.0 becomes 25.

    Raises ValueError unless `fps` is finite and positive.
    """
    if not math.isfinite(fps) or fps <= 0:
        raise ValueError(f"a rate must be positive, not {fps}")
    if isinstance(fps, Fraction):
        return fps
    whole = round(fps * 1001 / 1000)
    if whole in (12, 15, 24, 30, 48, 60, 120) and abs(fps - whole * 1000 / 1001) < 0.005:
        return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(100_000)


def num_frames(duration_s: float | Fraction, fps: float | Fraction) -> int:
    """Frames that begin inside `duration_s`; 1.0 s at 25 is 25, 1.01 s is 26."""
    return max(0, math.ceil(Fraction(duration_s) * as_rate(fps) - _SLACK))


def num_samples(duration_s: float | Fraction, rate_hz: int) -> int:
    """Samples that begin inside `duration_s`."""
    return max(0, math.ceil(Fraction(duration_s) * rate_hz - _SLACK))


def frame_to_time(frame: int, fps: float | Fraction) -> float:
    """Seconds at which `frame` appears."""
    return float(frame / as_rate(fps))


def time_to_frame(time_s: float | Fraction, fps: float | Fraction) -> int:
    """The frame on screen at `time_s`."""
    return math.floor(Fraction(time_s) * as_rate(fps) + _SLACK)


def sample_of_frame(frame: int, fps: float | Fraction, rate_hz: int) -> int:
    """The sample that sounds when `frame` appears."""
    return math.floor(Fraction(frame) * rate_hz / as_rate(fps) + _SLACK)


def frame_of_sample(sample: int, fps: float | Fraction, rate_hz: int) -> int:
    """The frame on screen when `sample` sounds."""
    return math.floor(Fraction(sample) * as_rate(fps) / rate_hz + _SLACK)


def samples_to_time(samples: int, rate_hz: int) -> Fraction:
    """Exact seconds of a number of samples."""
    return Fraction(samples, rate_hz)


def frame_position(frame: int, fps: float | Fraction, other_fps: float | Fraction) -> tuple[int, float]:
    """Where output frame `frame` at `fps` lies on a clock of `other_fps`: (frame before, fraction to the next)."""
    position = Fraction(frame) * as_rate(other_fps) / as_rate(fps)
    before = math.floor(position)
    return before, float(position - before)
