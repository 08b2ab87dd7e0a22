"""Background matching: smoothing, key frames, matches, records."""

from __future__ import annotations

import re

import pytest

from parity.fixtures import load_fixture
from talkingface.systems.headpose.motion.matching import (
    MatchSettings,
    key_frames,
    make_records,
    match_background,
    ping_pong,
    smooth,
)

INPUTS = load_fixture("headpose", "background_matching").inputs
CASES = [name.removesuffix("_options") for name in INPUTS if name.endswith("_options")]


@pytest.mark.parametrize("name", CASES)
def test_background_matching(name):
    fixture = load_fixture("headpose", "background_matching")
    predicted, real = fixture.array(f"{name}_predicted"), fixture.array(f"{name}_source")
    settings = MatchSettings(min_gap=fixture.config["min_gap"], **fixture.inputs[f"{name}_options"])
    matched = match_background(predicted, real, settings)
    fixture.assert_close(f"{name}_smoothed", smooth(predicted[:, settings.axis]), 1e-6)
    fixture.assert_equal(f"{name}_keyframes", key_frames(predicted[:, :3], settings))
    fixture.assert_equal(f"{name}_keyframes", matched.keys)
    fixture.assert_equal(f"{name}_key_source", matched.key_source)
    fixture.assert_equal(f"{name}_assigned", matched.source)
    expression, shift = fixture.array(f"{name}_expression"), fixture.array(f"{name}_crop_shift")
    records = make_records(expression, real, shift, matched.source)
    fixture.assert_close(f"{name}_record0_tail", records[0, -9:], 1e-6)
    fixture.assert_close(f"{name}_record_last", records[-1], 1e-6)


def test_ping_pong():
    fixture = load_fixture("headpose", "background_matching")
    recorded = [name for name in fixture.outputs if name.startswith("ping_pong")]
    for name in recorded:
        frames, count = map(int, re.fullmatch(r"ping_pong_(\d+)_of_(\d+)", name).groups())
        fixture.assert_equal(name, ping_pong(count, frames))
    assert recorded
