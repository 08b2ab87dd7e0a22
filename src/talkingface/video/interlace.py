"""Interlaced pictures: detected by flag and by measurement, and deinterlaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import av
import av.error
import av.filter
import numpy as np
from av.filter.context import FilterContext

Fields = Literal["auto", "tff", "bff"]
"""Which field of a frame comes first: as each frame says, the upper, the lower."""

_FLAGGED_FRAMES, _OTHER_FRAMES = 50, 16
_MOVES = 12  # levels by which a pixel must differ from the frame before: more than noise
_LEAST_MOVING = 2e-4  # share of the pixels; less says nothing
_WHOLE, _COMBED = 0.75, 0.5  # whole pictures measured 0 to 0.21, interlaced ones 0.64 to 2
_ORDERED, _SURELY_ORDERED = 1.15, 1.25  # whole pictures measured 1.00 to 1.01, interlaced ones 1.39 to 5
_COLUMNS = 360


def find_fields(first: av.VideoFrame, rest: Iterable[av.VideoFrame], suspected: bool) -> Fields | None:
    """How the pictures of a stream are interlaced, from its beginning; None: they are whole.

    Flags are checked, because cameras flag whole pictures too. Frames without flags are only looked at where they are
    `suspected` (size and rate are those of interlaced television), and must show it clearly.
    """
    flagged = bool(first.interlaced_frame)
    if not flagged and not suspected:
        return None
    own, upper_first, lower_first = 1e-9, 1e-9, 1e-9
    moving, before = 0.0, first.to_ndarray(format="gray")
    for _, frame in zip(range(_FLAGGED_FRAMES if flagged else _OTHER_FRAMES), rest, strict=False):
        now = frame.to_ndarray(format="gray")
        if now.shape != before.shape:
            break
        share, *combs = _combs(before, now)
        moving, before = moving + share, now
        own, upper_first, lower_first = own + combs[0], upper_first + combs[1], lower_first + combs[2]
    if moving < _LEAST_MOVING:
        return "auto" if flagged else None
    combed = own / min(upper_first, lower_first)
    ordered = max(upper_first, lower_first) / min(upper_first, lower_first)
    if ordered > _ORDERED and combed > _COMBED and (flagged or ordered > _SURELY_ORDERED):
        return "tff" if upper_first < lower_first else "bff"
    return "auto" if flagged and combed > _WHOLE else None


def _combs(before: np.ndarray, now: np.ndarray) -> tuple[float, float, float, float]:
    """Share of moving pixels; how rough they are where the lines of both fields alternate: own, and across two frames.

    The fields of one frame fit each other where the picture is whole. In interlaced ones the upper field fits the
    lower one of the frame before just as well, or the reverse, because they are half a frame apart as well.
    """
    height = before.shape[0] // 2 * 2
    columns = slice(None, None, max(1, before.shape[1] // _COLUMNS))
    upper0, lower0 = (before[k:height:2, columns].astype(np.int16) for k in (0, 1))
    upper, lower = (now[k:height:2, columns].astype(np.int16) for k in (0, 1))
    moved = (np.abs(upper - upper0) > _MOVES) | (np.abs(lower - lower0) > _MOVES)
    moved = moved[:-1]
    return float(moved.mean()), _rough(upper, lower, moved), _rough(upper, lower0, moved), _rough(upper0, lower, moved)


def _rough(upper: np.ndarray, lower: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(2 * lower[:-1] - upper[:-1] - upper[1:])[where].sum())


class Deinterlacer:
    """Makes whole pictures of interlaced ones, one for one; each needs the next, so they come one later."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._ends: tuple[FilterContext, FilterContext] | None = None
        self._count = 0
        self._colours: tuple[int, int] = (2, 0)

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Take the next frame; gives those that are ready."""
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._shape:
            yield from self.flush()
            self._open(frame)
            self._shape = shape
        self._colours = (frame.colorspace, frame.color_range)
        frame.pts = self._count
        self._count += 1
        yield from self._run(frame)

    def flush(self) -> Iterator[av.VideoFrame]:
        """What is still held."""
        if self._graph is not None:
            yield from self._run(None)
            self._graph = self._shape = None

    def _open(self, frame: av.VideoFrame) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        sink = graph.add("buffersink")
        graph.link_nodes(source, graph.add("bwdif", f"mode=send_frame:parity={self._fields}:deint=all"), sink)
        graph.configure()
        self._graph, self._count = graph, 0

    def _run(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        self._graph.vpush(frame)
        while True:
            try:
                out = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            out.colorspace, out.color_range = self._colours
            yield out
