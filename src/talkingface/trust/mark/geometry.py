"""Where the tiles lie: scale, proportions, turn, shift and mirroring of a mark in a picture of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from talkingface.trust.mark.pattern import TILE_CELLS, Layout

CELLS_PX = (2.4, 6.2)
"""Sides of cells that one level of evidence is searched for; larger ones have half as many pixels at the next level."""
_R = 2
"""Samples across a cell."""
_SIDE = TILE_CELLS * _R
_AT_ONCE = 128
"""Places whose correlations are computed together: what NumPy needs for a call is spread over them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Cells of (`across`, `down`) pixels, turned by `turn_rad`, perhaps `mirrored`.

    `score`: the peak of the correlation with the known cells over its root mean square.
    """

    across: float
    down: float
    turn_rad: float = 0.0
    mirrored: bool = False
    score: float = 0.0


class Sheet:
    """One picture of evidence, float32 [H, W], and what was computed of it: keys can share both."""

    def __init__(self, evidence: np.ndarray) -> None:
        self.evidence = evidence
        self.shape: tuple[int, int] = evidence.shape  # type: ignore[assignment]
        self._smooth: dict[int, np.ndarray] = {}
        self._spectra: dict[Place, np.ndarray] = {}

    def spectra(self, places: Sequence[Place], *, kept: bool = True) -> np.ndarray:
        """Spectra complex64 [N, S, S / 2 + 1] of the tiles laid over each other."""
        made = [self._spectra.get(place) for place in places]
        made = [_spectrum(self.fold(place)) if one is None else one for one, place in zip(made, places, strict=True)]
        if kept:
            self._spectra.update(zip(places, made, strict=True))
        return np.stack(made)

    def fold(self, place: Place) -> np.ndarray:
        """All tiles laid over each other, float32 [S, S], as if the first began at the picture's corner."""
        height, width = self.shape
        half = np.array([place.across, place.down]) / _R
        cos, sin = np.cos(place.turn_rad), np.sin(place.turn_rad)
        turn = np.array([[cos, -sin], [sin, cos]])
        middle = np.array([width - 1, height - 1]) / 2
        # samples lie at the middles of halves of cells; the picture turns about its own middle
        matrix = np.column_stack([turn * half, turn @ (half / 2 - 0.5 - middle) + middle])
        wide, high = (int(np.ceil(n / h / _SIDE)) for n, h in zip((width, height), half, strict=True))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        smooth = self._smoothed(max(place.across, place.down))
        grid = cv2.warpAffine(smooth, matrix, (wide * _SIDE, high * _SIDE), flags=flags)
        return grid.reshape(high, _SIDE, wide, _SIDE).sum((0, 2))

    def _smoothed(self, cell: float) -> np.ndarray:
        """The evidence without what is finer than cells of about so many pixels."""
        level = round(4 * np.log2(cell))
        if level not in self._smooth:
            self._smooth[level] = cv2.GaussianBlur(self.evidence, (0, 0), 0.3 * 2 ** (level / 4))
        return self._smooth[level]


class Finder:
    """Searches a sheet for the tiles of a layout."""

    def __init__(self, sheet: Sheet, found: Layout) -> None:
        self._sheet = sheet
        known = np.kron(found.known(), np.ones((_R, _R), np.float32))
        self._templates = [np.conj(_spectrum(cells)) for cells in (known, known[:, ::-1])]

    def look(self, places: Sequence[Place], *, kept: bool = True) -> list[Place]:
        """Each place as it is and mirrored, with the score."""
        found = []
        for begin in range(0, len(places), _AT_ONCE):
            part = places[begin : begin + _AT_ONCE]
            spectra = self._sheet.spectra(part, kept=kept)
            for mirrored in (False, True):
                heights = self._correlate(spectra, mirrored)
                strongest = heights.max((1, 2)) / np.maximum(np.sqrt(np.mean(heights**2, (1, 2))), 1e-12)
                pairs = zip(part, strongest.tolist(), strict=True)
                found += [replace(place, mirrored=mirrored, score=score) for place, score in pairs]
        return found

    def refine(self, place: Place) -> Place:
        """The place nearby with the best score."""
        reach = 0.6 * max(place.across, place.down) / max(self._sheet.shape)  # moves the border by a third of a cell
        moves = {"across": reach * place.across, "down": reach * place.down, "turn_rad": reach}
        for _ in range(3):
            for name, move in moves.items():
                for sign in (-1, 1):
                    while (better := self._moved(place, name, sign * move)).score > place.score:
                        place = better
            moves = {name: move / 2 for name, move in moves.items()}
        return place

    def cells(self, place: Place) -> np.ndarray:
        """What was measured in the cells of the tile, float [T, T], not mirrored."""
        folded = self._sheet.fold(place)
        heights = self._correlate(_spectrum(folded), place.mirrored)
        down, across = np.unravel_index(heights.argmax(), heights.shape)
        folded = np.roll(folded, (-down, -across), (0, 1))
        cells = folded.reshape(TILE_CELLS, _R, TILE_CELLS, _R).mean((1, 3))
        return cells[:, ::-1] if place.mirrored else cells

    def _moved(self, place: Place, name: str, move: float) -> Place:
        moved = replace(place, **{name: getattr(place, name) + move})
        return self.look([moved], kept=False)[place.mirrored]

    def _correlate(self, spectra: np.ndarray, mirrored: bool) -> np.ndarray:
        return _picture(spectra * self._templates[mirrored])


def _spectrum(pictures: np.ndarray) -> np.ndarray:
    """Of float32 [..., S, S]: complex64 [..., S, S / 2 + 1]."""
    from scipy import fft  # takes long to load, and marking does not need it

    return np.asarray(fft.rfft2(pictures))


def _picture(spectra: np.ndarray) -> np.ndarray:
    from scipy import fft

    return np.asarray(fft.irfft2(spectra, (_SIDE, _SIDE)))
