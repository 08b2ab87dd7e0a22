"""Pictures, points and sound that the recordings of `pcavs` were made from, read off their recipes."""

from __future__ import annotations

import re

import numpy as np

from parity.fixtures import Fixture
from parity.rule import philox

_PICTURE = re.compile(r"test_image\((\d+)(?:\*(\d+))?(?:\+(\w+))?,(\d+),(\d+)\)")


def test_image(key: int, height: int, width: int) -> np.ndarray:
    """The wavy, noisy picture of the recordings, uint8 [height, width, 3] in the channel order they store."""
    rng = philox(key, 50)
    y, x = np.mgrid[:height, :width]
    picture = np.zeros((height, width, 3))
    for channel in range(3):
        for _ in range(5):
            fx, fy, phase = rng.uniform(0.5, 9, 3)
            picture[..., channel] += np.sin(2 * np.pi * (fx * x / width + fy * y / height) + phase)
    picture += 0.15 * rng.standard_normal(picture.shape)
    return np.clip(127.5 + 40 * picture, 0, 255).astype(np.uint8)


test_image.__test__ = False  # its name is the recordings', and no test


def pictures(fixture: Fixture, name: str, count: int = 1) -> np.ndarray:
    """The pictures that recipe `name` lists, or `count` of one that depends on the frame i."""
    made = []
    for base, factor, plus, height, width in _PICTURE.findall(fixture.inputs[name]):
        key = int(base) * int(factor or 1)
        offsets = range(count) if plus == "i" else [int(plus or 0)]
        made += [test_image(key + offset, int(height), int(width)) for offset in offsets]
    return np.stack(made)


def moving_points(fixture: Fixture) -> np.ndarray:
    """The 68 points of the alignment's frames, float64 [T, 68, 2]."""
    text = fixture.inputs["landmarks"]
    rng = philox(*map(int, re.search(r"g\((\d+),(\d+)\)", text).groups()))
    ranges = re.findall(r"r\.uniform\((\d+),(\d+),(\d+)\)", text)
    base = np.stack([rng.uniform(int(low), int(high), int(count)) for low, high, count in ranges], axis=1)
    for first, last, x, y in re.findall(r"base\[(\d+):(\d+)\]=\((\d+),(\d+)\)", text):
        base[int(first) : int(last)] = int(x), int(y)
    count = int(re.search(r"frame i of (\d+)", text)[1])
    noise = float(re.search(r"([\d.]+)\*r\.standard_normal", text)[1])
    step = np.array([float(n) for n in re.search(r"\+ \((-?[\d.]+)i,(-?[\d.]+)i\)", text).groups()])
    return np.stack([base + noise * rng.standard_normal(base.shape) + step * i for i in range(count)])


def sweep(fixture: Fixture) -> np.ndarray:
    """The sound of the recordings, float32 [N]."""
    text = fixture.inputs["signal"]
    t = np.arange(int(re.search(r"n=(\d+)", text)[1])) / fixture.config["sample_rate"]
    sound = 0.5 * np.sin(2 * np.pi * (200 * t + 300 * t**2)) + 0.25 * np.sin(2 * np.pi * (1500 * t - 100 * t**2))
    sound += 0.1 * np.sin(2 * np.pi * 6000 * t) * np.exp(-3 * t)
    first, last = map(int, re.search(r"x\[(\d+):(\d+)\]=0", text).groups())
    sound[first:last] = 0
    return sound.astype(np.float32)


def assert_pixels(fixture: Fixture, name: str, values: np.ndarray, most: float, share: float = 1.0) -> None:
    """At least `share` of the pixel values are within `most` of the recorded ones."""
    difference = np.abs(fixture.pick(name, values).astype(np.float64) - fixture.stored(name))
    assert (difference <= most).mean() >= share, f"{name}: {(difference > most).mean():.4%} are off by more than {most}"
