"""The two variants of the networks, compact and official, and what both do for the system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from talkingface.core.errors import WeightsError
from talkingface.core.types import Track
from talkingface.systems.pcavs.alignment.paste import Square
from talkingface.systems.pcavs.codes import Codes
from talkingface.systems.pcavs.config import PcavsConfig


class Face(Protocol):
    """A photo prepared for drawing. `rest` float32 [P]: its pose code."""

    rest: np.ndarray
    square: Square

    def draw(self, mouth: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Squares uint8 [B, S, S, 3] from codes [B, M] and [B, P]; and where the person is, uint8 [B, S, S], if a matte
        was given. Changes nothing: any number of threads may call it."""
        ...


class Variant(Protocol):
    """Loaded networks, which nothing changes afterwards. `silence` float32 [M]: the mouth code of no sound."""

    silence: np.ndarray

    def encode_audio(self, samples: np.ndarray) -> np.ndarray:
        """Mouth codes float32 [T, M] of a whole voice, mono float32 [N] at 16 kHz: one for each frame begun in it."""
        ...

    def encode_video(self, track: Track, pictures: Iterator[np.ndarray]) -> Codes:
        """Codes of a tracked clip whose `pictures` are given again, uint8 [H, W, 3]."""
        ...

    def face(self, rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None, side: int) -> Face:
        """A photo uint8 [H, W, 3] with landmarks [478, 3], to be drawn in squares of `side` pixels.

        `matte` uint8 [H, W]: where the person is, for a transparent background. Raises UsageError if the networks draw
        the background too.
        """
        ...


def load_variant(config: PcavsConfig, tensors: Mapping[str, np.ndarray] | None, device: str) -> Variant:
    """The networks of a config from the tensors of weights; None: random ones from a seed.

    Raises WeightsError if they do not fit.
    """
    try:
        if config.variant == "official":
            from talkingface.systems.pcavs.official.inference import OfficialVariant

            return OfficialVariant(config, tensors, device)
        from talkingface.systems.pcavs.compact.inference import CompactVariant

        return CompactVariant(config, tensors, device)
    except (RuntimeError, KeyError, ValueError) as error:
        # a fault of the machine, not of the weights
        if "out of memory" in str(error):
            raise
        problem = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"the weights do not fit their configuration ({problem}); install or train them again"
        ) from error
