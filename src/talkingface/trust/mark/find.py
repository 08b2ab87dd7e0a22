"""Finding a mark, with nothing but the video and the key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from talkingface.core.progress import report_progress
from talkingface.trust.mark.code import agreement, decode
from talkingface.trust.mark.evidence import SIDE_PX, Mean, levels
from talkingface.trust.mark.geometry import CELLS_PX, Finder, Place, Sheet
from talkingface.trust.mark.pattern import PUBLIC_KEY, SMALLEST_PX, Layout, layout

LOOKED_AT_S = 6.0
"""Length of a stretch that is looked at; a file has up to three, within its first ten minutes."""
_WITHIN_S = 600.0
_FPS = 10.0
_FRAMES_FPS = 25
"""Frames that come without a clock count as so many a second."""
SHORTEST_S = 3.0
_LARGEST_PX = 26
"""Cells of pictures up to 1600 pixels high are looked for at once where the picture has its own size."""
_LEAST_SCORE = 4.6
_SURE_SCORE, _SURE_AGREEMENT = 6.3, 0.58
"""A checksum of 16 bits is right by chance once in 65 536 words. One of these has to hold too: either does in one of a
hundred places without a mark."""
_TRIED = 6
_SHAPES = ((1.0, 0.0), (0.75, 0.0), (4 / 3, 0.0), (9 / 16, 0.0), (16 / 9, 0.0), (1.0, 0.014), (1.0, -0.014))
"""Width of a cell over its height, and turn in radians: as it was, squeezed from 16:9 to 4:3 and back, made square."""

Report = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFinding:
    """What a search for a mark gave.

    "not_found" does not mean that a video is real: marks can be removed, and most makers lay on none.
    """

    state: Literal["found", "too_short", "not_found"]
    payload: int | None = None
    """The 48 bits of a mark that was found."""
    score: float = 0.0
    """How far the known part of the pattern stands out, in standard deviations; chance gives up to about 6."""
    mirrored: bool = False


def find_mark(
    path_or_frames: str | Path | Iterable[np.ndarray], key: bytes = PUBLIC_KEY, progress: Report = report_progress
) -> MarkFinding:
    """Look for a mark in a video file, or in frames uint8 [H, W, 3] of one size.

    Up to three stretches of six seconds are looked at, ten frames a second, in small: time and memory do not grow with
    the file. Less than three seconds without a mark are "too_short". Raises InputError for a file that cannot be read.

    Example: `find_mark("out.mp4").state`
    """
    return search(read_stretches(path_or_frames), key, progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Evidence from some seconds of a video: the same in large and small, and (width, height) of the frames."""

    sheets: list[Sheet]
    seconds: float
    size: tuple[int, int]


def read_stretches(source: str | Path | Iterable[np.ndarray]) -> Iterator[Stretch]:
    """The parts of a video that are searched, each decoded when it is asked for."""
    if not isinstance(source, str | Path):
        yield from _of_frames(iter(source))
        return
    from talkingface.video.read import probe, read_frames

    info = probe(source)
    longest = int(np.ceil(SIDE_PX * max(info.size) / max(min(info.size), 1)))
    longest_px = longest if longest < max(info.size) else None
    last = max(min(info.duration_s, _WITHIN_S) - LOOKED_AT_S, 0.0)
    for start_s in sorted({0.0, last / 2, last}) if last > LOOKED_AT_S else [0.0]:
        frames = read_frames(source, start_s=start_s, fps=_FPS, longest_px=longest_px)
        if stretch := _stretch((frame.rgb for frame in islice(frames, int(LOOKED_AT_S * _FPS))), _FPS, info.size):
            yield stretch


def _of_frames(frames: Iterator[np.ndarray]) -> Iterator[Stretch]:
    for _ in range(3):
        if (stretch := _stretch(islice(frames, int(LOOKED_AT_S * _FRAMES_FPS)), _FRAMES_FPS)) is None:
            return
        yield stretch


def _stretch(frames: Iterable[np.ndarray], fps: float, size: tuple[int, int] | None = None) -> Stretch | None:
    count, total, mean = 0, None, Mean()
    for count, rgb in enumerate(frames, 1):
        size = size or (rgb.shape[1], rgb.shape[0])
        mean.add(rgb)
        if (
            count % round(fps) == 0
        ):  # each second by itself: what moves looks otherwise in the next one, the mark does not
            total, mean = _added(total, _sheets(mean)), Mean()
    if mean.count:
        total = _added(total, _sheets(mean))
    return None if total is None or size is None else Stretch(sheets=total, seconds=count / fps, size=size)


def _sheets(mean: Mean) -> list[Sheet]:
    return [Sheet(level) for level in levels(mean.picture())]


def search(stretches: Iterable[Stretch], key: bytes, progress: Report = report_progress) -> MarkFinding:
    """The mark of a key in what was read of a video.

    First every stretch, and all up to it together, where the mark lies in pictures that are whole; then, in all
    together, other scales, proportions and turns.
    """
    found, total, seconds = layout(key), None, 0.0
    for number, stretch in enumerate(stretches):
        progress("looking for the mark", number, None)
        seconds += stretch.seconds
        expected = _expected(stretch.size)
        if (finding := _search(stretch.sheets, found, expected)).payload is not None:
            return finding
        together = _added(total, stretch.sheets)
        if total is not None and (finding := _search(together, found, expected)).payload is not None:
            return finding
        total = together
    finding = MarkFinding(state="not_found") if total is None else _search(total, found, _everything)
    return replace(finding, state="too_short") if finding.payload is None and seconds < SHORTEST_S else finding


def _added(total: list[Sheet] | None, sheets: list[Sheet]) -> list[Sheet]:
    """The evidence of both; of pictures of another shape, their own alone."""
    if total is None or [one.shape for one in total] != [other.shape for other in sheets]:
        return sheets
    return [Sheet(one.evidence + other.evidence) for one, other in zip(total, sheets, strict=True)]


_Places = Callable[[tuple[int, int]], list[Place]]
"""From the shape [H, W] of evidence to the places that are looked at."""


def _expected(size: tuple[int, int]) -> _Places:
    """Places in a picture of (width, height) that was made smaller or larger, or cropped, but not both."""
    shares = [1 / 64, *(cell / min(size) for cell in range(SMALLEST_PX, _LARGEST_PX))]

    def places(shape: tuple[int, int]) -> list[Place]:
        cells = [share * min(shape) for share in shares]
        return [Place(across=cell, down=cell) for cell in cells if CELLS_PX[0] <= cell < CELLS_PX[1]]

    return places


def _everything(shape: tuple[int, int]) -> list[Place]:
    """Places of all scales and shapes."""
    found = []
    step = 1 + 0.8 * CELLS_PX[0] / max(shape)  # moves the border by less than half a cell
    for wider, turn in _SHAPES:
        cell = CELLS_PX[0]
        while cell < CELLS_PX[1]:
            found.append(Place(across=cell * wider**0.5, down=cell / wider**0.5, turn_rad=turn))
            cell *= step
    return found


def _search(sheets: list[Sheet], found: Layout, places: _Places) -> MarkFinding:
    """The mark, if the cells at one of the best places have a checksum that is right."""
    seen: list[tuple[Place, Finder]] = []
    for sheet in sheets:
        finder = Finder(sheet, found)
        seen += [(place, finder) for place in finder.look(places(sheet.shape))]
    seen.sort(key=lambda one: -one[0].score)
    for place, finder in seen[:_TRIED]:
        place = finder.refine(place)
        if place.score < _LEAST_SCORE:
            continue
        soft = found.soft_bits(finder.cells(place))
        payload = decode(soft)
        if payload is not None and (place.score >= _SURE_SCORE or agreement(soft, payload) >= _SURE_AGREEMENT):
            return MarkFinding(state="found", payload=payload, score=place.score, mirrored=place.mirrored)
    return MarkFinding(state="not_found", score=seen[0][0].score if seen else 0.0)
