"""Shots are told apart; what moves within one is no cut."""

from __future__ import annotations

import cv2
import numpy as np

from faces import sample_picture
from talkingface.face.cuts import CutFinder


def cuts(frames: list[np.ndarray]) -> list[int]:
    finder = CutFinder()
    return [k for k, rgb in enumerate(frames) if finder.is_cut(rgb)]


def scene(seed: int) -> np.ndarray:
    few = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    return cv2.resize(few, (320, 180), interpolation=cv2.INTER_CUBIC)


def test_another_scene_is_a_cut():
    assert cuts([scene(1)] * 5 + [scene(2)] * 5 + [scene(1)] * 2) == [5, 10]
    assert cuts([scene(1) // 8] * 5 + [scene(2) // 8] * 5) == [5], "in the dark, too"


def test_motion_fades_and_noise_are_none():
    assert cuts([np.roll(sample_picture(), 6 * k, axis=1) for k in range(12)]) == []
    assert cuts([(scene(1) * (1 - k / 15)).astype(np.uint8) for k in range(15)]) == []
    rng = np.random.default_rng(0)
    assert cuts([rng.integers(0, 9, (180, 320, 3), dtype=np.uint8) for _ in range(9)]) == []


def test_a_moving_camera_is_none():
    wide = cv2.resize(scene(3), (960, 180))
    assert cuts([wide[:, 25 * k : 25 * k + 320] for k in range(10)]) == []
