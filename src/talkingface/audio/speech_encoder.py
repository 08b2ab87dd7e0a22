"""Speech features that know speech: what the encoder of `speech_encoder.v1` hears, whole or as a stream, in NumPy.

Log-mel columns every 10 ms, relative to the voice's running level, become tokens of 384 numbers every 20 ms. How far
ahead a token hears is a setting (`DELAYS`): "best" for files, "low" for live use; weights are trained for both. A
stream is computed in fixed hops, so it is exactly the same for any split of the sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.audio.mel import LevelTracker, MelStream, normalise, speech_columns
from talkingface.core.config import from_dict
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.stream import windows
from talkingface.core.weights import find_weights, load_weights
from talkingface.nn.speech_encoder_config import (
    COLUMN_SAMPLES,
    FRAME_SAMPLES,
    Delay,
    SpeechEncoderConfig,
    SpeechHeadConfig,
)
from talkingface.nn.speech_stream import EncoderStream, HeadStream

WEIGHTS = "speech_encoder.v1"
COLUMNS_PER_FRAME = FRAME_SAMPLES // COLUMN_SAMPLES
TOKENS_PER_FRAME = 2


def encoder_columns(samples: np.ndarray) -> np.ndarray:
    """The encoder's input for 16 kHz speech float32 [N]: normalised columns float32 [N // 160 + 1, 80], of which
    column j ends with sample 160 (j + 1)."""
    columns = speech_columns(samples)[1:]
    return normalise(columns, LevelTracker().push(columns))
