"""Line plots over time as inline SVG, from lists in which None is a gap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Values = Sequence["float | None"]

WIDTH, HEIGHT = 860, 190
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 24, 22
MAX_POINTS = 1200
TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a plot. `style`: a CSS class of the page (colour and dashes); `filled`: drawn as an area, on its own
    scale, behind the others."""

    label: str
    values: Values
    style: str
    filled: bool = False


def plot(title: str, lines: Sequence[Line], fps: float, marks: Sequence[int] = ()) -> str:
    """An SVG of lines over seconds; `marks`: frames to point at. Empty when there is nothing to show."""
    shown = [line for line in lines if any(value is not None for value in line.values)]
    measured = [value for line in shown if not line.filled for value in line.values if value is not None]
    if not measured:
        return ""
    low, high = _padded(min(measured), max(measured))
    frames = max(len(line.values) for line in shown)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text x="{LEFT}" y="14" class="title">{escape(title)}</text>',
        *_axes(low, high, frames / fps),
    ]
    parts += [_mark(frame, frames) for frame in marks]
    for line in sorted(shown, key=lambda line: not line.filled):
        bounds = _padded(*_extent(line.values)) if line.filled else (low, high)
        parts.append(_path(line, bounds, frames))
    parts.append(_legend(shown))
    return "".join([*parts, "</svg>"])


def _extent(values: Values) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    return min(known), max(known)


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.05 * (high - low) or 0.5 * max(abs(high), 1e-3)
    return low - room, high + room


def _x(frame: float, frames: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * frame / max(frames - 1, 1)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)


def _axes(low: float, high: float, seconds: float) -> Iterator[str]:
    for value in _round_ticks(low, high):
        y = _y(value, low, high)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="tick" text-anchor="end">{value:.3g}</text>'
    step = next((s for s in (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600) if seconds / s <= 12), 1800)
    at = 0.0
    while at <= seconds:
        x = LEFT + (WIDTH - LEFT - RIGHT) * at / max(seconds, 1e-9)
        yield f'<text x="{x:.1f}" y="{HEIGHT - 6}" class="tick" text-anchor="middle">{at:g} s</text>'
        at += step


def _round_ticks(low: float, high: float) -> list[float]:
    """At most so many round numbers between `low` and `high`, evenly spaced."""
    least = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _mark(frame: int, frames: int) -> str:
    x = _x(frame, frames)
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="mark"/>'


def _path(line: Line, bounds: tuple[float, float], frames: int) -> str:
    runs = _runs(line.values)
    if line.filled:
        ground, shapes = HEIGHT - BOTTOM, []
        for run in runs:
            first, last = (_x(run[end][0], frames) for end in (0, -1))
            shapes.append(f"M{first:.1f},{ground}L{_points(run, bounds, frames)}L{last:.1f},{ground}Z")
    else:
        # a single value is a dot: a line of no length with round ends
        shapes = [f"M{_points(run, bounds, frames)}{'h0' if len(run) == 1 else ''}" for run in runs]
    return f'<path d="{"".join(shapes)}" class="{line.style}"/>'


def _points(run: Sequence[tuple[int, float]], bounds: tuple[float, float], frames: int) -> str:
    return "L".join(f"{_x(frame, frames):.1f},{_y(value, *bounds):.1f}" for frame, value in run)


def _runs(values: Values) -> list[list[tuple[int, float]]]:
    """Stretches without a gap as (frame, value); of long clips only so many frames as can be seen.

    What is measured in every third frame only has no gaps between those.
    """
    step = max(1, len(values) // MAX_POINTS)
    known = [(frame, value) for frame, value in enumerate(values) if value is not None]
    usual = min((b - a for (a, _), (b, _) in pairwise(known)), default=1)
    runs: list[list[tuple[int, float]]] = []
    before = -math.inf
    for number, (frame, value) in enumerate(known):
        if frame - before > usual:
            runs.append([])
        before = frame
        if not runs[-1] or number % max(1, step // usual) == 0:
            runs[-1].append((frame, value))
    return runs


def _legend(lines: Sequence[Line]) -> str:
    parts, x = [], WIDTH - RIGHT
    for line in reversed(lines):
        x -= 30 + 6.8 * len(line.label)
        shape = "M{0},10h16" if not line.filled else "M{0},6h16v8h-16Z"
        parts.append(f'<path d="{shape.format(f"{x:.0f}")}" class="{line.style}"/>')
        parts.append(f'<text x="{x + 20:.0f}" y="14" class="tick">{escape(line.label)}</text>')
    return "".join(parts)
