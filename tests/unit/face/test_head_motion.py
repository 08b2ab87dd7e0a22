"""Head motion: seeded, bounded, without drift, the same for any split, with blinks at a natural rate."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.face.head_motion import HeadMotion, HeadRows, NoiseProcess
from talkingface.face.phrases import KINDS

KERNEL = 0.02 * np.exp(-((np.arange(-30, 31) / 8.0) ** 2))[:, None, None] * np.eye(8)
TENSORS = {
    "kernel": KERNEL.astype(np.float32),
    "response": np.zeros((6, 8), np.float32),
    "limit": np.full(8, 0.08, np.float32),
    "blink": np.array([0, 0.4, 1, 0.6, 0.2, 0], np.float32),
}


def speech(frames: int) -> tuple[np.ndarray, np.ndarray]:
    voice = ((np.arange(frames) % 100) < 75).astype(np.float32)
    return voice, np.where(voice > 0, -15.0, -60.0).astype(np.float32)


def test_any_split_and_any_order_of_blocks_give_the_same() -> None:
    voice, loud = speech(300)
    whole = HeadMotion(TENSORS, 4).push(voice, loud)
    head = HeadMotion(TENSORS, 4)
    parts = [head.push(voice[a:b], loud[a:b]) for a, b in ((0, 1), (1, 77), (77, 300))]
    for name in ("pose", "brow", "blink"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(p, name) for p in parts]))
    process = NoiseProcess(KERNEL, 1)
    assert np.array_equal(process.at(200.5), NoiseProcess(KERNEL, 1).at(200.5))
    assert not np.array_equal(process.at(200.5), NoiseProcess(KERNEL, 2).at(200.5))


def test_process_has_the_kernels_covariance() -> None:
    process = NoiseProcess(KERNEL, 0)
    rows = np.array([process.at(float(k)) for k in range(1, 6000)])
    expected = (KERNEL[:, 0, 0] ** 2).sum()
    np.testing.assert_allclose(rows.var(axis=0), expected, rtol=0.25)
    lag = (rows[:-5] * rows[5:]).mean()
    assert lag == pytest.approx((KERNEL[:-5, 0, 0] * KERNEL[5:, 0, 0]).sum(), rel=0.25)


def test_half_an_hour_without_drift_or_jitter() -> None:
    voice, loud = speech(45000)
    rows = HeadMotion(TENSORS, 0).push(voice, loud)
    assert np.abs(rows.pose).max() < 0.08
    assert np.abs(rows.pose[:5000].mean(0)).max() < 0.02 and np.abs(rows.pose[-5000:].mean(0)).max() < 0.02
    accelerations = np.abs(np.diff(rows.pose, 2, axis=0)).max()
    assert accelerations < 0.02
    starts = int((np.diff((rows.blink[:, 0] > 0.5).astype(int)) > 0).sum())
    assert 15 <= starts / 30 <= 20


def test_blinks_come_after_phrases() -> None:
    voice, loud = speech(45000)
    blink = HeadMotion(TENSORS, 3).push(voice, loud).blink[:, 0]
    starts = np.flatnonzero((blink[1:] > 0.5) & (blink[:-1] <= 0.5)) % 100
    after = ((starts >= 75) & (starts < 95)).mean()
    assert after > 0.3  # a fifth of the time
    assert not HeadMotion(TENSORS, 3, 0.0).push(voice[:500], loud[:500]).blink.any()


def test_higher_rates_give_more_blinks() -> None:
    voice, loud = speech(3000)
    counts = []
    for rate in (0, 1, 2, 4, 5, 7, 10):
        blink = HeadMotion(TENSORS, 3, rate).push(voice, loud).blink[:, 0]
        counts.append(int(((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).sum()))
    assert counts == sorted(set(counts)) and counts[0] == 0


def test_seeds_differ_to_their_last_bit() -> None:
    voice, loud = speech(400)
    one, other = (HeadMotion(TENSORS, seed, 2.0).push(voice, loud) for seed in (2**64 - 1, 2**64 - 2))
    assert not np.array_equal(one.pose, other.pose) and not np.array_equal(one.blink, other.blink)


def test_head_moves_less_in_pauses() -> None:
    voice = np.r_[np.ones(3000), np.zeros(3000)].astype(np.float32)
    rows = HeadMotion(TENSORS, 1).push(voice, np.full(6000, -20, np.float32))
    speed = np.abs(np.diff(rows.pose, axis=0)).mean(axis=1)
    assert speed[:2900].mean() > 1.5 * speed[3100:].mean()


GESTURES = np.zeros((4, 36, 10), np.float32)
GESTURES[KINDS.index("end"), :, 0] = 0.03 * np.sin(np.linspace(0, 2 * np.pi, 36))
GESTURES[KINDS.index("end"), :24, -2] = 4.0
GESTURES[KINDS.index("start"), :24, -1] = 4.0
WITH_GESTURES = TENSORS | {
    "gestures": GESTURES,
    "chance": np.array([0.6, 0.8, 0.8, 1.0], np.float32),
    "nod": np.repeat(0.02 * np.hanning(36)[:, None], 8, axis=1).astype(np.float32),
    "gaze": np.array([0.05, 0.03], np.float32),
}
LEAD = 20


def syllables(frames: int) -> np.ndarray:
    """Phrases of three seconds and pauses of one."""
    loud = -14 + 8 * np.sin(np.arange(frames) * 2 * np.pi / 12)
    return np.where(np.arange(frames) % 100 < 75, loud, -60).astype(np.float32)


def speak(loudest: np.ndarray, seed: int, lead: int = LEAD, voice: float = 1.0) -> HeadRows:
    loud = loudest[: len(loudest) - lead]
    return HeadMotion(WITH_GESTURES, seed).push((voice * (loud > -26)).astype(np.float32), loud, loudest)


@pytest.mark.parametrize("lead", [0, 2, LEAD])
def test_gestures_are_the_same_for_any_split(lead: int) -> None:
    loudest = syllables(320)
    count = len(loudest) - lead
    whole, head, parts = speak(loudest, 4, lead), HeadMotion(WITH_GESTURES, 4), []
    for a, b in ((0, 1), (1, 77), (77, 78), (78, count)):
        loud = loudest[a:b]
        parts.append(head.push((loud > -26).astype(np.float32), loud, loudest[a : b + lead]))
    for name in ("pose", "brow", "blink", "gaze"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(p, name) for p in parts]))


def test_heads_and_eyes_go_with_phrases() -> None:
    loudest = syllables(20000 + LEAD)
    rows = [speak(loudest, seed) for seed in range(3)]
    mean = np.mean([row.pose[:, 0].reshape(-1, 100).mean(axis=0) for row in rows], axis=0)
    # the wave around ends, at 75, whose first half is before them
    assert mean[66:74].mean() > 0.01 and mean[84:94].mean() < -0.01
    starts = np.concatenate([np.flatnonzero(np.diff(row.blink[:, 0]) > 0.3) % 100 for row in rows])
    assert ((starts >= 60) & (starts < 90)).mean() > 0.45
    gaze = np.stack([row.gaze for row in rows if row.gaze is not None])
    shifts = np.flatnonzero(np.diff(gaze, axis=1, prepend=0).any(axis=2).any(axis=0)) % 100
    assert ((shifts >= 88) | (shifts < 14)).mean() > 0.35  # a quarter of the time
    assert gaze.std() > 0.01 and np.abs(gaze).max() < 0.22
    assert np.abs(np.concatenate([row.pose for row in rows]).mean(axis=0)).max() < 0.005


def test_gaze_rests_between_quick_shifts() -> None:
    gaze = speak(syllables(3000), 2).gaze
    assert gaze is not None
    moving = np.diff(gaze, axis=0).any(axis=1)
    assert 0.01 < moving.mean() < 0.1
    runs = np.diff(np.flatnonzero(np.diff(np.r_[0, moving, 0])))[::2]
    assert runs.max() <= 2


def test_without_a_voice_nothing_is_nodded_at() -> None:
    loudest = syllables(520)
    silent = speak(loudest, 1, voice=0.0)
    voice = np.zeros(500, np.float32)
    plain = HeadMotion(WITH_GESTURES, 1).push(voice, loudest[:500])
    assert np.array_equal(silent.pose, plain.pose) and plain.gaze is None


def test_tensors_without_gestures_move_as_before() -> None:
    loudest = syllables(200 + LEAD)
    voice, loud = (loudest[:200] > -26).astype(np.float32), loudest[:200]
    given, plain = HeadMotion(TENSORS, 1).push(voice, loud, loudest), HeadMotion(TENSORS, 1).push(voice, loud)
    assert given.gaze is None and np.array_equal(given.pose, plain.pose) and np.array_equal(given.blink, plain.blink)
