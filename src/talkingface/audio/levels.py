"""Whether a sound contains a voice, judged by loudness alone."""

from __future__ import annotations

import numpy as np

BLOCKS_PER_S = 50
SWELL_DB = 5.0
"""Span of the levels within a second and a half from which there is a voice: that of speech is 40 dB and more, 10 dB
before noise as strong as itself; that of a room, a hum or white noise is 1 dB."""
SILENT_DB = -70.0
_WINDOW = 3 * BLOCKS_PER_S // 2
_SHORTEST = BLOCKS_PER_S // 2


class Levels:
    """The loudness, every 20 ms, of sound that arrives in pieces."""

    def __init__(self, rate_hz: int) -> None:
        self._block = rate_hz // BLOCKS_PER_S
        self._rest = np.zeros(0, np.float32)
        self._levels: list[np.ndarray] = []

    def take(self, piece: np.ndarray) -> None:
        """Count mono samples float32 [N]."""
        sound = np.concatenate([self._rest, piece])
        whole = len(sound) // self._block * self._block
        power = np.square(sound[:whole].astype(np.float64)).reshape(-1, self._block).mean(axis=1)
        self._levels.append(10 * np.log10(np.maximum(power, 1e-12)))
        self._rest = sound[whole:]

    def have_voice(self) -> bool:
        """Whether the sound may contain a voice: loudness rises and falls. Less than half a second counts as one."""
        levels = np.concatenate([np.zeros(0), *self._levels])
        if len(levels) < _SHORTEST:
            return True
        starts = range(0, max(1, len(levels) - _WINDOW // 2), _WINDOW // 2)
        swells = [np.ptp(np.percentile(levels[start : start + _WINDOW], (10, 95))) for start in starts]
        return bool(levels.max() > SILENT_DB and max(swells) > SWELL_DB)
