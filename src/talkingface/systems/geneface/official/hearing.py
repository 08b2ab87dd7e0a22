"""Sound as the published networks hear it: mel and pitch, the pieces that speech recognisers are given, their inputs.

Rows of features are 50 a second; video frame t goes with rows 2 t and 2 t + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from talkingface.audio.mfcc import mfcc
from talkingface.audio.pitch import track_pitch
from talkingface.audio.slaney import slaney_filters

RATE_HZ = 16000
HOP = 320
"""Samples of a row."""
_FFT, _BANDS, _MIN_HZ, _MAX_HZ, _FLOOR = 512, 80, 80.0, 7600.0, 1e-6
_LOWEST_HZ, _HIGHEST_HZ, _VOICING = 80.0, 750.0, 0.6
_FIELD = 400
"""Samples that a row of HuBERT or wav2vec2 looks at."""
_SEGMENT = 1000 * HOP
_CONTEXT, _CEPSTRA = 9, 26
_LEFT, _CHUNK, _RIGHT = 10, 50, 10


def speech_mel(samples: np.ndarray) -> np.ndarray:
    """Log mel rows float64 [(N - 512) // 320 + 1, 80] of samples [N]; fewer than 512 samples give none."""
    if len(samples) < _FFT:
        return np.zeros((0, _BANDS))
    window = np.hanning(_FFT + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float64), _FFT)[::HOP]
    magnitudes = np.abs(np.asarray(scipy.fft.rfft(frames * window, axis=1)))
    filters = slaney_filters(_BANDS, _FFT, _MIN_HZ, _MAX_HZ, RATE_HZ)
    return np.log10(np.maximum(magnitudes @ filters.T.astype(np.float64), _FLOOR))


def padded_for_pitch(samples: np.ndarray) -> np.ndarray:
    """The sound with zeros up to the next whole row: at least one."""
    return np.pad(samples, (0, HOP - len(samples) % HOP))


def speech_pitch(samples: np.ndarray, rows: int) -> np.ndarray:
    """The pitch float32 [rows] in Hz, 0 where there is no voice; the last value goes on where the tracker ends."""
    found = track_pitch(
        padded_for_pitch(samples),
        RATE_HZ,
        step=HOP / RATE_HZ,
        floor_hz=_LOWEST_HZ,
        ceiling_hz=_HIGHEST_HZ,
        voicing=_VOICING,
    )
    if not len(found):
        return np.zeros(rows, np.float32)
    return np.pad(found, (0, max(0, rows - len(found))), mode="edge")[:rows]


def normalised_wave(samples: np.ndarray) -> np.ndarray:
    """A whole recording with zero mean and unit deviation: what HuBERT is given, float32 [N]."""
    samples = np.asarray(samples, np.float64)
    return ((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)).astype(np.float32)


def hubert_segments(samples: int) -> list[tuple[int, int]]:
    """Start and end of the pieces of a recording that HuBERT hears one by one; their rows join without a gap."""
    overlap = _FIELD - HOP
    starts = range(0, max(samples - overlap, 1), _SEGMENT)
    pieces = ((start, min(start + _SEGMENT + overlap, samples)) for start in starts)
    return [(start, end) for start, end in pieces if end - start >= _FIELD]


def network_rows(samples: int) -> int:
    """Rows that HuBERT or wav2vec2 gives for so many samples."""
    return max(0, (samples - _FIELD) // HOP + 1)


def hubert_rows(samples: int) -> int:
    """Rows that a recording should have: longer ones are cut, missing ones are zeros."""
    return max(0, (samples - (_FIELD - HOP)) // HOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsrChunk:
    """A piece that the recogniser hears by itself: samples `start` to `end` (zeros before the sound), of whose rows
    `first` to `last` are kept."""

    start: int
    end: int
    first: int
    last: int


def asr_chunks(samples: int) -> list[AsrChunk]:
    """The pieces of a recording for wav2vec2: 50 rows each, with 10 more on either side; the last keeps all that
    remains."""
    whole = (_LEFT + _CHUNK + _RIGHT) * HOP
    made, end = [], (_CHUNK + _RIGHT) * HOP
    while end <= samples:
        made.append(AsrChunk(start=end - whole, end=end, first=_LEFT, last=_LEFT + _CHUNK))
        end += _CHUNK * HOP
    start = end - whole
    return [*made, AsrChunk(start=start, end=samples, first=_LEFT, last=network_rows(samples - start))]


def deepspeech_cepstra(samples: np.ndarray) -> np.ndarray:
    """Every other row of cepstra, float64 [N, 26]; `samples` are whole numbers of 16 bits."""
    return mfcc(np.asarray(samples, np.float64), _CEPSTRA)[::2]


def deepspeech_vectors(samples: np.ndarray) -> np.ndarray:
    """DeepSpeech's input float64 [N, 494]: nine rows before, the row and nine after, normalised over the recording."""
    rows = deepspeech_cepstra(samples)
    padded = np.pad(rows, ((_CONTEXT, _CONTEXT), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _CONTEXT + 1, axis=0)
    vectors = windows.transpose(0, 2, 1).reshape(len(rows), -1)
    return (vectors - vectors.mean()) / vectors.std()


def resampled_rows(rows: np.ndarray, seconds: float, rate_hz: float = RATE_HZ / HOP) -> np.ndarray:
    """Rows [N, C] at 50 a second for a recording of so many seconds: linear in between, as many as it has less one."""
    count = max(0, round(seconds * rate_hz) - 1)
    wanted, known = np.arange(count) / rate_hz, np.arange(len(rows)) * HOP / RATE_HZ
    return np.stack([np.interp(wanted, known, column) for column in rows.T], axis=1)
