"""Finding a mark, with nothing but the video and the key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from talkingface.core.progress import report_progress
from talkingface.trust.mark.code import decode
from talkingface.trust.mark.evidence import SIDE_PX, Mean, levels
from talkingface.trust.mark.geometry import CELLS_PX, Finder, Place
from talkingface.trust.mark.pattern import PUBLIC_KEY, Layout, cell_px, layout

LOOKED_AT_S = 6.0
"""Length of a stretch that is looked at; a file has up to three, within its first ten minutes."""
_WITHIN_S = 600.0
_FPS = 10.0
SHORTEST_S = 3.0
_LEAST_SCORE = 4.6
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
    """How far the known part of the pattern stands out, in standard deviations; chance gives up to about 5."""
    mirrored: bool = False


def find_mark(
    path_or_frames: str | Path | Iterable[np.ndarray], key: bytes = PUBLIC_KEY, progress: Report = report_progress
) -> MarkFinding:
    """Look for a mark in a video file, or in frames uint8 [H, W, 3] of one size.

    Up to three stretches of six seconds are looked at, ten frames a second, in small: time and memory do not grow with
    the file. Less than three seconds without a mark are "too_short". Raises InputError for a file that cannot be read.

    Example: `find_mark("out.mp4").state`
    """
    found = layout(key)
    total, seconds = None, 0.0
    for number, stretch in enumerate(_stretches(path_or_frames)):
        progress("looking for the mark", number, None)
        evidence = levels(stretch.mean.picture())
        seconds += stretch.seconds
        if finding := _search(evidence, found, _expected(stretch.size)):
            return finding
        if total is not None and [a.shape for a in total] == [b.shape for b in evidence]:
            evidence = [a + b for a, b in zip(total, evidence, strict=True)]
            if finding := _search(evidence, found, _expected(stretch.size)):
                return finding
        total = evidence
    if total is not None and (finding := _search(total, found, _everything)):
        return finding
    return MarkFinding(state="too_short" if seconds < SHORTEST_S else "not_found")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    mean: Mean
    seconds: float
    size: tuple[int, int]
    """(width, height) of its frames in pixels."""


def _stretches(source: str | Path | Iterable[np.ndarray]) -> Iterator[_Stretch]:
    """Stretches of a file or of frames, each decoded when it is asked for."""
    if not isinstance(source, str | Path):
        yield from _of_frames(iter(source))
        return
    from talkingface.video.read import probe, read_frames

    info = probe(source)
    longest = int(np.ceil(SIDE_PX * max(info.size) / max(min(info.size), 1)))
    last = max(min(info.duration_s, _WITHIN_S) - LOOKED_AT_S, 0.0)
    for start_s in sorted({0.0, last / 2, last}) if last > LOOKED_AT_S else [0.0]:
        mean = Mean()
        longest_px = longest if longest < max(info.size) else None
        for frame in islice(
            read_frames(source, start_s=start_s, fps=_FPS, longest_px=longest_px), int(LOOKED_AT_S * _FPS)
        ):
            mean.add(frame.rgb)
        if mean.count:
            yield _Stretch(mean=mean, seconds=mean.count / _FPS, size=info.size)


def _of_frames(frames: Iterator[np.ndarray]) -> Iterator[_Stretch]:
    """Frames without a clock count as 25 a second."""
    for _ in range(3):
        mean, size = Mean(), (0, 0)
        for rgb in islice(frames, int(LOOKED_AT_S * 25)):
            mean.add(rgb)
            size = (rgb.shape[1], rgb.shape[0])
        if not mean.count:
            return
        yield _Stretch(mean=mean, seconds=mean.count / 25, size=size)


_Places = Callable[[tuple[int, int]], list[Place]]
"""From the shape [H, W] of evidence to the places that are looked at."""


def _expected(size: tuple[int, int]) -> _Places:
    """Places in a picture of (width, height) that was not cropped or squeezed."""
    shares = {1 / 64, cell_px(size) / min(size)}

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


def _search(evidence: list[np.ndarray], found: Layout, places: _Places) -> MarkFinding | None:
    """The mark, if the cells at one of the best places have a checksum that is right."""
    seen: list[tuple[Place, Finder]] = []
    for level in evidence:
        finder = Finder(level, found)
        seen += [(place, finder) for place in finder.look(places(level.shape))]
    seen.sort(key=lambda one: -one[0].score)
    for place, finder in seen[:_TRIED]:
        place = finder.refine(place)
        if place.score < _LEAST_SCORE:
            continue
        payload = decode(found.soft_bits(finder.cells(place)))
        if payload is not None:
            return MarkFinding(state="found", payload=payload, score=place.score, mirrored=place.mirrored)
    return None
