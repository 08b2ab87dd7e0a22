"""What drives a field at every frame of its clip, in training: landmarks, speech tokens, or features from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkingface.audio.speech_encoder import WEIGHTS, SpeechEncoder
from talkingface.core.errors import InputError
from talkingface.systems.geneface.config import CONDITIONS
from talkingface.systems.geneface.official.driving import Range
from talkingface.systems.geneface.official.windows import ASR_STRIDE, ASR_WINDOW, frame_windows, windows

LANDMARKS, TOKENS = "idexp_lm3d_normalized", "speech_tokens"


class ClipConditions:
    """Conditions [S, window, inputs] by the number of the frame; windows are cut when they are asked for."""

    def __init__(self, rows: np.ndarray, window: int, smoothed: int) -> None:
        self.window, self.smoothed = window, smoothed
        self._windows = windows(rows, 1) if window == 1 else frame_windows(rows)

    @property
    def inputs(self) -> int:
        """Width of a row."""
        return self._windows.shape[-1]

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, number: int) -> np.ndarray:
        """float32 [S, window, inputs] around a frame; zeros beyond the ends, as published."""
        first = number - self.smoothed // 2
        made = np.zeros((self.smoothed, *self._windows.shape[1:]), np.float32)
        for place in range(self.smoothed):
            if 0 <= first + place < len(self._windows):
                made[place] = self._windows[first + place]
        return made


def landmark_conditions(landmarks: np.ndarray, seen: Range) -> ClipConditions:
    """Of a clip's landmarks [T, 204]."""
    _, window, smoothed = CONDITIONS[LANDMARKS]
    return ClipConditions(seen.normalised(landmarks).astype(np.float32), window, smoothed)


def speech_conditions(samples: np.ndarray, frames: int, features: Path | None = None) -> ClipConditions:
    """Of a voice float32 [N] at 16 kHz that goes with so many frames: the toolkit's speech tokens, or `features`, a
    .npy file with rows [2 T, C] at 50 a second, or the published windows [T, 16, C]. Raises InputError."""
    _, _, smoothed = CONDITIONS[TOKENS]
    if features is None:
        rows = SpeechEncoder.load(WEIGHTS).features(samples).astype(np.float32)
        rows = rows.reshape(-1, rows.shape[-1])
    else:
        rows = _read_features(features)
    missing = ASR_STRIDE * frames - len(rows)
    return ClipConditions(np.pad(rows, ((0, max(0, missing)), (0, 0))), ASR_WINDOW, smoothed)


def _read_features(path: Path) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no array of features ({error}); give a .npy file of rows at 50 a second"
        ) from error
    if found.ndim == 3 and found.shape[1] == ASR_WINDOW:  # windows at 25 a second, of which two rows are new
        middle = ASR_WINDOW // 2
        return found[:, middle : middle + ASR_STRIDE].reshape(-1, found.shape[-1])
    if found.ndim != 2 or not np.isfinite(found).all():
        raise InputError(f"{path} holds an array of {list(found.shape)}; rows [N, features] at 50 a second are needed")
    return found
