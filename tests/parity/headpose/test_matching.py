"""Background matching: smoothing, key frames, matches, records."""

from __future__ import annotations

import re

import numpy as np
import pytest

from parity.fixtures import Fixture, load_fixture
from parity.rule import philox
from talkingface.systems.headpose.motion.matching import (
    MatchSettings,
    key_frames,
    make_records,
    match_background,
    ping_pong,
    smooth,
)

_WALK = re.compile(r"walk\((\d+)\+(\d+), \w=(\d+), ([\d.]+)\)")


def walk(fixture: Fixture, name: str) -> np.ndarray:
    base, case, count, scale = _WALK.fullmatch(fixture.inputs[name]).groups()
    noise = philox(fixture.seed, int(base) + int(case)).standard_normal((int(count) + 200, 6))
    place, speed = np.zeros_like(noise), np.zeros_like(noise)
    for k in range(1, len(noise)):
        speed[k] = 0.9 * speed[k - 1] + 0.004 * noise[k]
        place[k] = 0.97 * place[k - 1] + speed[k]
    return float(scale) * place[200:]


@pytest.mark.parametrize("case", range(3))
def test_background_matching(case):
    fixture = load_fixture("headpose", "background_matching")
    name = f"case{case}"
    predicted, real = walk(fixture, f"{name}_predicted"), walk(fixture, f"{name}_source")
    settings = MatchSettings(min_gap=fixture.config["min_gap"], **fixture.inputs[f"{name}_options"])
    matched = match_background(predicted, real, settings)
    fixture.assert_close(f"{name}_smoothed", smooth(predicted[:, settings.axis]), 1e-6)
    fixture.assert_equal(f"{name}_keyframes", key_frames(predicted[:, :3], settings))
    fixture.assert_equal(f"{name}_keyframes", matched.keys)
    fixture.assert_equal(f"{name}_key_source", matched.key_source)
    fixture.assert_equal(f"{name}_assigned", matched.source)
    expression, shift = fixture.draw(f"{name}_expression"), 3 * fixture.draw(f"{name}_crop_shift")
    records = make_records(expression, real, shift, matched.source)
    fixture.assert_close(f"{name}_record0_tail", records[0, -9:], 1e-6)
    fixture.assert_close(f"{name}_record_last", records[-1], 1e-6)


def test_ping_pong():
    fixture = load_fixture("headpose", "background_matching")
    for name in fixture.outputs:
        if found := re.fullmatch(r"ping_pong_(\d+)_of_(\d+)", name):
            fixture.assert_equal(name, ping_pong(int(found[2]), int(found[1])))
            return
    pytest.fail("nothing is recorded of this mode")
