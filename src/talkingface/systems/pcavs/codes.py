"""What both kinds of networks do for the system: hear, read faces, and draw. `kinds.py` chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from talkingface.core.types import Track


class Codes(NamedTuple):
    """What a face does: `mouth` float32 [T, M] and `pose` float32 [T, P]."""

    mouth: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True, slots=True)
class Square:
    """Where drawn squares lie: `matrix` float64 [2, 3] from picture to square (pixel numbers), its `side` in pixels.

    `own_colours`: what is drawn has the picture's colours already.
    """

    matrix: np.ndarray
    side: int
    own_colours: bool = False


class Face(Protocol):
    """A face ready to be drawn. `rest` float32 [P]: the pose code of its picture."""

    rest: np.ndarray
    square: Square

    def draw(self, mouth: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Squares uint8 [B, S, S, 3] from codes [B, M] and [B, P]; and where the person is, uint8 [B, S, S], if a matte
        was given."""
        ...


class Talker(Protocol):
    """Loaded networks. `silence` float32 [M] is the mouth code that `hear` gives no sound."""

    silence: np.ndarray

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """Mouth codes float32 [T, M] of a whole voice, mono float32 [N] at 16 kHz: one for each frame begun in it."""
        ...

    def read(self, track: Track, pictures: Iterator[np.ndarray]) -> Codes:
        """Codes of a tracked clip whose `pictures` are given again, uint8 [H, W, 3]."""
        ...

    def face(self, rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None, side: int) -> Face:
        """A photo uint8 [H, W, 3] with landmarks [478, 3], to be drawn in squares of `side` pixels.

        `matte` uint8 [H, W]: where the person is, if that is asked for. Raises UsageError if they cannot tell.
        """
        ...
