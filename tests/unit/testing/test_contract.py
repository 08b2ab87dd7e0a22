"""`check_system` accepts the toy, and says which promise a broken one does not keep."""

from __future__ import annotations

from dataclasses import replace

import pytest

import broken_meters
from meter_system import SPEC, globe
from talkingface.testing import check_system


def test_the_toy_keeps_every_promise() -> None:
    check_system(SPEC)


def test_one_that_is_seen_from_all_around_keeps_them_too() -> None:
    check_system(globe.SPEC)


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("Overwriting", "not written to again"),
        ("Splitting", "However the voice arrives"),
        ("Beginning", "A resumed job"),
        ("Drifting", "Fresh weights and a fit are the same"),
        ("Restless", "Equal seeds"),
        ("Opaque", "has a mask"),
        ("Undriven", "A video drives the face"),
        ("Unseen", "a frame is drawn from anywhere"),
    ],
)
def test_a_broken_system_is_told_which_promise(name: str, promise: str) -> None:
    with pytest.raises(AssertionError, match=rf"^meter, preset tiny, breaks \d+ promises:\n(.*\n)*.*{promise}"):
        check_system(getattr(broken_meters, name).SPEC)


def test_a_spec_that_is_not_true_is_told() -> None:
    with pytest.raises(AssertionError, match="SPEC of the class is another"):
        check_system(replace(SPEC, licence="MIT"))
    with pytest.raises(AssertionError, match="presets has no small"):
        check_system(replace(SPEC, presets=("large",)), "small")
