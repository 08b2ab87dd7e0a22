"""Sounds for tests, made on the spot."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

RATE_HZ = 16000


def make_voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Speech-like sound: a buzz at 120 Hz under a syllable rhythm, float32 [N] at 16 kHz."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    noise = np.random.default_rng(seed).normal(0, 0.02, len(t))
    return (0.1 * np.clip(np.sin(2 * np.pi * 4 * t), 0, 1) * buzz + 0.1 * noise).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """Write mono float samples as 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
