"""Behaviour figures on hand-made motion and sound whose answers are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from talkingface.audio.phones import PhoneSpan
from talkingface.face.camera import from_euler_degrees
from talkingface.face.pose import STABLE_POINTS
from talkingface.metrics.behaviour import (
    Flow,
    beat_alignment,
    blink_distance,
    closure_contrast,
    find_blinks,
    flow_between,
    frame_change,
    jitter,
    leakage,
    mouth_motion,
    pose_distance,
    pose_error,
    silent_open_share,
    speech_frames,
    still_share,
    warp_error,
)
from talkingface.metrics.sync import speech_envelope

FPS = 25.0
RATE_HZ = 16000


def blinking(times_s: list[float], seconds: float = 20.0, half_s: float = 0.12, depth: float = 1.0) -> np.ndarray:
    """Eye closure with triangular blinks, 2 `half_s` long at their foot."""
    t = np.arange(int(seconds * FPS)) / FPS
    return sum((depth * np.maximum(1 - np.abs(t - time) / half_s, 0) for time in times_s), np.zeros(len(t)))


def test_blinks_are_counted_and_measured() -> None:
    found = find_blinks(blinking([2.0, 7.0, 7.6, 15.0]), FPS)
    np.testing.assert_allclose(found.times_s, [2.0, 7.0, 7.6, 15.0])
    np.testing.assert_allclose(found.lengths_s, 0.12, atol=1e-9)  # a triangle at half its height
    assert found.per_minute == pytest.approx(12)


def test_neither_half_blinks_nor_naps_are_blinks() -> None:
    half = find_blinks(blinking([3.0], depth=0.45), FPS)
    assert half.per_minute == 0 and half.closed_share == 0
    nap = np.zeros(500)
    nap[100:200] = 1
    found = find_blinks(nap, FPS)
    assert not len(found.times_s) and found.closed_share == pytest.approx(0.2)


def test_distance_of_eye_closures() -> None:
    # half the time shut against always open: half of the mass moves by one
    assert blink_distance(np.tile([0.0, 1.0], 50), np.zeros(80)) == pytest.approx(0.5)
    assert blink_distance(np.tile([0.0, 1.0], 50), np.repeat([1.0, 0.0], 30)) == 0


def swing(degrees: float, hz: float = 0.5, seconds: float = 8.0) -> np.ndarray:
    t = np.arange(int(seconds * FPS)) / FPS
    angles = np.zeros((len(t), 3))
    angles[:, 0] = degrees * np.sin(2 * np.pi * hz * t)
    return np.asarray(from_euler_degrees(angles))


def test_pose_error_is_the_angle_between() -> None:
    reference = Rotation.from_rotvec(np.random.default_rng(1).normal(size=(20, 3)))
    off = Rotation.from_rotvec(np.radians(7) * np.tile([0.6, 0.0, 0.8], (20, 1)))
    value, per_frame = pose_error((off * reference).as_matrix(), reference.as_matrix())
    assert value == pytest.approx(7)
    np.testing.assert_allclose(per_frame, 7)
    assert pose_error(reference.as_matrix(), reference.as_matrix())[0] == pytest.approx(0, abs=1e-5)


def test_pose_distance_of_two_swings() -> None:
    # a sine's mean absolute value is 2 / pi of its height; scaling it moves mass by the difference; one angle of three
    angle, speed = pose_distance(swing(10), swing(6), FPS)
    assert angle == pytest.approx(4 * 2 / np.pi / 3, rel=0.02)
    assert speed == pytest.approx(4 * 2 / np.pi * np.pi / 3, rel=0.02)
    shifted = np.asarray(from_euler_degrees(np.array([15.0, 0, 0]))) @ swing(10)[::-1]
    assert pose_distance(shifted, swing(10), FPS)[0] == pytest.approx(0, abs=1e-6)
    assert np.isnan(pose_distance(swing(10)[:2], swing(6), FPS)[1])


def moving_face(noise: float, frames: int = 300) -> np.ndarray:
    """A rigid face that turns, nears and drifts; `noise` in inter-ocular distances on its stable points."""
    rng = np.random.default_rng(2)
    points = rng.normal(0, 60, (478, 3))
    points[33], points[263] = (-50, 0, 0), (50, 0, 0)
    trembling = np.repeat(points[None], frames, 0)
    trembling[:, STABLE_POINTS] += rng.normal(0, 100 * noise, (frames, len(STABLE_POINTS), 3))
    t = np.arange(frames)[:, None, None] / FPS
    turns = Rotation.from_euler("yx", np.stack([20 * np.sin(t[:, 0, 0]), 5 * t[:, 0, 0] % 30], 1), degrees=True)
    return (1 + 0.05 * t) * (trembling @ turns.as_matrix().transpose(0, 2, 1)) + 400 + 10 * t


def test_jitter_is_the_noise_and_not_the_motion() -> None:
    value, per_frame = jitter(moving_face(0.01))
    assert value == pytest.approx(0.01, rel=0.05)  # a little is taken for rigid motion
    assert per_frame.shape == (300,)
    assert jitter(moving_face(0.0))[0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(jitter(moving_face(0.0)[:2])[0])


def test_stillness() -> None:
    a = np.full((20, 20, 3), 7, np.uint8)
    b = a.copy()
    b[:10] += 4
    assert frame_change(a, b) == pytest.approx(2.0)
    assert still_share(np.array([0.0, 0.01, 0.5, 3.0])) == pytest.approx(0.5)
    assert np.isnan(still_share(np.zeros(0)))


def texture(seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = gaussian_filter(rng.normal(size=(220, 220, 3)), (3, 3, 0))
    return np.clip(128 + 45 * values / values.std(), 0, 255).astype(np.uint8)


def shifted(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, np.array([[1, 0, x], [0, 1, y]], float), size, borderMode=cv2.BORDER_REFLECT)


def own_places() -> np.ndarray:
    """Each pixel's own place (x, y) in a texture."""
    return np.stack(np.meshgrid(np.arange(220), np.arange(220)), -1).astype(np.float32)


def test_flow_finds_a_shift_and_what_leaves_the_picture() -> None:
    flow = flow_between(texture(), shifted(texture(), 3, -2))
    moved = flow.target - own_places()
    np.testing.assert_allclose(moved[30:-30, 30:-30].mean((0, 1)), (3, -2), atol=0.1)
    assert flow.seen[30:-30, 30:-30].mean() > 0.98
    assert not flow.seen[:, -1].any() and not flow.seen[0].any()


def test_warp_error_forgives_motion_but_not_flicker() -> None:
    first, second = texture(), shifted(texture(), 3, -2)
    moved = warp_error(first, second)
    unmoved = float((((second.astype(float) - first) / 255) ** 2).mean())
    assert moved < 0.02 * unmoved
    flicker = warp_error(first, np.clip(first.astype(int) + 20, 0, 255).astype(np.uint8), still_flow())
    inside = first <= 235
    assert flicker == pytest.approx((20 / 255) ** 2 * inside.mean(), rel=0.05)


def still_flow(seen: bool = True) -> Flow:
    return Flow(target=own_places(), seen=np.full((220, 220), seen))


def test_warp_error_along_the_references_flow() -> None:
    flow = flow_between(texture(), shifted(texture(), 3, -2))
    followed = warp_error(texture(4), shifted(texture(4), 3, -2), flow)
    frozen = warp_error(texture(4), texture(4), flow)
    assert followed < 0.05 * frozen
    assert warp_error(texture(4), texture(4), still_flow()) == 0
    assert np.isnan(warp_error(texture(), texture(), still_flow(seen=False)))


def test_flow_does_not_depend_on_the_number_of_threads() -> None:
    threads, found = cv2.getNumThreads(), []
    try:
        for number in (1, 4):
            cv2.setNumThreads(number)
            found.append(warp_error(texture(), shifted(texture(), 2.4, 1.3)))
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def bursts(times_s: np.ndarray, seconds: float) -> np.ndarray:
    """Noise of 0.15 s that begins at each time."""
    rng, samples = np.random.default_rng(5), np.zeros(int(seconds * RATE_HZ), np.float32)
    for time in times_s:
        first = int(time * RATE_HZ)
        samples[first : first + 2400] = rng.normal(0, 0.1, len(samples[first : first + 2400]))
    return samples


def nodding(beats_s: np.ndarray, seconds: float) -> np.ndarray:
    """A head that turns on and on, and halts at each time."""
    t = np.arange(int(seconds * FPS)) / FPS
    speed = 30 * (1 - np.exp(-((t[:, None] - beats_s) ** 2) / (2 * 0.12**2)).max(1))
    return Rotation.from_euler("y", (np.cumsum(speed) / FPS)[:, None], degrees=True).as_matrix()


def test_beats_on_onsets_score_high_and_beats_between_low() -> None:
    onsets = np.arange(1.0, 19.0, 1.1)
    sound = bursts(onsets, 20.0)
    on, off = (beat_alignment(nodding(onsets + late, 20.0), sound, FPS) for late in (0.0, 0.55))
    assert on.num_beats == off.num_beats == len(onsets)
    assert on.score > 0.9 and off.score < 0.05
    # sigma 0.12 s, an onset each 1.1 s: what a random time scores on average
    assert on.chance == pytest.approx(0.12 * np.sqrt(2 * np.pi) / 1.1, abs=0.06)


def test_a_still_head_has_no_beats() -> None:
    found = beat_alignment(np.repeat(np.eye(3)[None], 100, 0), bursts(np.arange(4.0), 4.0), FPS)
    assert found.num_beats == 0 and np.isnan(found.score)


def test_speech_frames_and_what_the_mouth_does_in_them() -> None:
    samples = np.concatenate([np.zeros(2 * RATE_HZ), np.random.default_rng(6).normal(0, 0.1, 2 * RATE_HZ)])
    speech = speech_frames(samples.astype(np.float32), FPS, 120)
    assert speech.shape == (120,)
    assert not speech[:43].any() and speech[47:100].all() and not speech[107:].any()
    gap = np.zeros(120)
    gap[:20] = 0.05
    assert silent_open_share(gap, speech) == pytest.approx(20 / (~speech).sum())
    assert np.isnan(silent_open_share(gap, np.ones(120, bool)))
    assert not speech_frames(np.zeros(32000, np.float32), FPS, 50).any()


def test_mouth_motion_of_a_steady_opening() -> None:
    gap, speech = 0.01 * np.arange(50.0), np.zeros(50, bool)
    speech[10:30] = True
    gap[30:] = gap[30]
    assert mouth_motion(gap, speech, FPS) == pytest.approx(0.25)
    assert np.isnan(mouth_motion(gap, np.zeros(50, bool), FPS))


def test_closures_against_open_vowels() -> None:
    gap = np.full(100, 0.08)
    gap[10], gap[50], gap[30] = 0.0, 0.04, 0.2
    spans = [
        PhoneSpan(phone="B", start_s=0.36, end_s=0.44),
        PhoneSpan(phone="M", start_s=1.96, end_s=2.04),
        PhoneSpan(phone="AA", start_s=1.16, end_s=1.24),
        PhoneSpan(phone="S", start_s=3.0, end_s=3.1),
    ]
    found = closure_contrast(gap, FPS, spans)
    assert (found.closed_share, found.num_bilabials, found.num_vowels) == (0.5, 2, 1)
    assert found.contrast == pytest.approx(0.2 - 0.02)
    none = closure_contrast(gap, FPS, spans[2:])
    assert np.isnan(none.closed_share) and np.isnan(none.contrast) and none.vowel_gap == pytest.approx(0.2)


def babble(seed: int, frames: int = 400) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=frames), 2)


def test_leakage_is_what_exceeds_chance() -> None:
    hidden = babble(8)
    leaking = leakage(0.7 * np.roll(hidden, 2) + 0.3 * babble(9), hidden, FPS)
    assert leaking.correlation > 0.8 and leaking.excess > 0.4
    blind = [leakage(babble(seed), hidden, FPS).excess for seed in range(20, 27)]
    assert np.median(blind) == 0 and max(blind) < 0.15
    still = leakage(np.zeros(400), hidden, FPS)
    assert still.correlation == still.excess == 0
    assert np.isnan(leakage(babble(8, 80), babble(9, 80), FPS).excess)


def test_leakage_of_sound() -> None:
    loud = np.repeat(np.random.default_rng(10).uniform(0, 1, 60), 3200)
    samples = (loud * np.random.default_rng(11).normal(0, 0.1, len(loud))).astype(np.float32)
    envelope = speech_envelope(samples, FPS)
    assert leakage(loud[::640], envelope, FPS).excess > 0.3
