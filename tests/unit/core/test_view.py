"""Views: what a camera may be, and who can be seen by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meter_system.config import MeterConfig
from meter_system.system import MeterSystem
from talkingface.core.errors import ArgumentError, UsageError
from talkingface.core.types import Avatar, Controls
from talkingface.core.view import View


@pytest.mark.parametrize(
    "wrong", [{"yaw": math.nan}, {"pitch": 7.0}, {"zoom": 0.0}, {"pan_x": math.inf}, {"fov": 0.0}, {"fov": 3.0}]
)
def test_a_view_that_no_camera_has_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        View(**wrong)


def test_flat_systems_say_that_they_cannot_be_viewed() -> None:
    avatar = Avatar(system="meter", card={}, tensors={"base": np.zeros((48, 64, 3), np.uint8)})
    with pytest.raises(UsageError, match="talkingface animate"):
        MeterSystem(None, MeterConfig()).open_view(avatar, Controls())
