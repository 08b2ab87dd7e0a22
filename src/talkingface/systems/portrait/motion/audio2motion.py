"""Speech to mouth coefficients: what a head reads off the speech encoder, hop by hop, the same for any split.

How far ahead of a frame is heard depends on the delay: 0.99 s for "best", 0.11 s for "low".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.face.spoken_mouth import SpeechRows, read_rows
from talkingface.nn.speech_encoder_config import SpeechHeadConfig


def speech_rows(
    encoder: SpeechEncoder,
    head: Mapping[str, np.ndarray],
    config: SpeechHeadConfig,
    pieces: Iterable[np.ndarray],
    delay: str,
) -> Iterator[SpeechRows]:
    """Read mono float32 speech at 16 kHz given in pieces of any length by the `head` of a delay.

    The frames cover every frame that begins within the speech; the result does not depend on the pieces.
    """
    for heard in encoder.frames(pieces, head, config, delay):
        yield read_rows(heard.start, heard.rows, heard.loudness, heard.level, heard.loudest)


def with_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
