"""The pattern of a mark: which cell says what under a key, and what it looks like.

A square tile of cells, each a little lighter or darker than the picture, is repeated over all of it, the same in every
frame. Most cells carry a code bit, the others are known and are what a detector searches for.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from talkingface.trust.mark.code import CODE_BITS, VERSION

ALGORITHM = f"org.talkingface.mark.{VERSION}"
"""The name of the mark where content credentials refer to it (soft binding)."""
PUBLIC_KEY = b"talkingface public mark key 1"
"""The key that everybody has: for marks that everybody can find."""
KEY_VARIABLE = "TALKINGFACE_MARK_KEY"

TILE_CELLS = 23
_CELLS_A_BIT = 2
SMALLEST_PX = 5
"""Cells of 8 pixels would last down to CRF 33 in some videos of 256 pixels, and be drowned by the picture in others."""


def mark_key() -> bytes:
    """The key of TALKINGFACE_MARK_KEY, or the public one."""
    return os.environ.get(KEY_VARIABLE, "").encode(errors="surrogateescape") or PUBLIC_KEY


@dataclass(frozen=True, slots=True)
class Layout:
    """What the cells of the tile are under a key."""

    chips: np.ndarray
    """float32 [T, T] of -1 and 1: the sign that a cell has for a code bit of 1."""
    bits: np.ndarray
    """int16 [T, T]: the code bit that a cell carries, -1: none, the cell is known."""

    def tile(self, signs: np.ndarray) -> np.ndarray:
        """Cells float32 [T, T] of -1 and 1 that carry the code bits `signs` (-1 or 1)."""
        return self.chips * np.where(self.bits < 0, 1, signs[self.bits]).astype(np.float32)

    def known(self) -> np.ndarray:
        """Cells float32 [T, T]: the known ones, 0 elsewhere."""
        return np.where(self.bits < 0, self.chips, 0).astype(np.float32)

    def soft_bits(self, cells: np.ndarray) -> np.ndarray:
        """Code bits float [CODE_BITS] from what was measured in the cells, float [T, T]."""
        carries = self.bits >= 0
        return np.bincount(self.bits[carries], (cells * self.chips)[carries], CODE_BITS)


@lru_cache(64)
def layout(key: bytes) -> Layout:
    """The layout of a key. It never changes within a version, so that old videos stay readable."""
    shape = (TILE_CELLS, TILE_CELLS)
    count = TILE_CELLS**2
    stream = hashlib.shake_256(ALGORITHM.encode() + b"\0" + key).digest(count * 9)
    order = np.argsort(np.frombuffer(stream, ">u8", count), kind="stable")
    chips = np.where(np.frombuffer(stream, np.uint8, count, count * 8) & 1, 1, -1)
    bits = np.full(count, -1, np.int16)
    carrying = order[: CODE_BITS * _CELLS_A_BIT]
    bits[carrying] = np.arange(len(carrying)) % CODE_BITS
    return Layout(chips.astype(np.float32).reshape(shape), bits.reshape(shape))


def cell_px(size: tuple[int, int]) -> int:
    """Side of a cell in a picture of `size`: 64 cells along the shorter side, fewer where they would become too fine
    for codecs."""
    return max(SMALLEST_PX, round(min(size) / 64))


def tile_picture(tile: np.ndarray, cell: int) -> np.ndarray:
    """What a tile [T, T] looks like, float32 [T * cell, T * cell], at most 1: smooth from centre to centre of cells."""
    side = len(tile) * cell
    away = np.abs((np.arange(side)[:, None] + 0.5) / cell - 0.5 - np.arange(len(tile)))
    away = np.minimum(away, len(tile) - away)  # the tile is repeated
    rise = np.where(away < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(away, 1)), 0)
    return (rise @ tile.astype(np.float64) @ rise.T).astype(np.float32)
