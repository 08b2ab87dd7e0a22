"""Figures of what goes with speech tell motion that follows it from motion that does not."""

from __future__ import annotations

import numpy as np

from benchmarks.motion.said import BROWS, Moves, moves_of, said_rows
from talkingface.face.phrases import KINDS


def make_pair(seed: int, follows: bool, frames: int = 300) -> tuple[Moves, np.ndarray]:
    rng = np.random.default_rng(seed)
    events = np.zeros((frames, len(KINDS)))
    starts = rng.integers(30, 220, 1)
    events[starts, KINDS.index("start")] = 1
    events[starts + 40, KINDS.index("end")] = 1
    events[starts + 20, KINDS.index("stress")] = 1
    at = starts if follows else rng.integers(20, frames - 60, len(starts))
    pose, brows = np.zeros((frames, 6)), np.zeros((frames, 478, 3))
    blink, gaze = np.zeros((frames, 1)), np.zeros((frames, 2))
    for start in at.tolist():
        pose[start : start + 9, 0] += 0.05 * np.hanning(9)
        pose[start + 16 : start + 25, 0] += 0.05 * np.hanning(9)
        brows[start + 16 : start + 25, list(BROWS), 1] -= 0.01 * np.hanning(9)[:, None]
        blink[start + 40 : start + 44] = 1
        gaze[start:, 0] += 0.1 if gaze[start, 0] < 0.05 else -0.1
    return moves_of(pose, brows, blink, gaze), events


def test_motion_that_follows_speech_exceeds_shuffled_motion() -> None:
    follows = [make_pair(seed, True) for seed in range(40)]
    random = [make_pair(seed, False)[0] for seed in range(40)]
    rows = {row.name: row for row in said_rows([m for m, _ in follows], [random], [e for _, e in follows])}
    assert len(rows) == 28
    for name in {name.split(":")[0] for name in rows}:
        real, shuffled = rows[f"{name}: real"].value, rows[f"{name}: real, shuffled"].value
        assert real is not None and shuffled is not None and real > 1.3 * shuffled, name
        made = rows[f"{name}: generated"]
        assert made.value is not None and made.value < 0.8 * real and made.target.startswith(">")
