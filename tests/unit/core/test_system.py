"""Renderers of avatars: made once, shared, and what they depend on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from meter_system.config import MeterConfig
from meter_system.system import MeterSystem
from talkingface.core.types import Avatar, Controls


def _avatar(level: int = 40) -> Avatar:
    return Avatar(system="meter", card={}, tensors={"base": np.full((48, 64, 3), level, np.uint8)})


def test_a_renderer_is_made_once_for_equal_faces_and_pictures() -> None:
    system = MeterSystem(None, MeterConfig())
    first = system.open(_avatar(), Controls(seed=1))
    assert system.open(_avatar(), Controls(seed=2, blink=0.0, pose_scale=0.5)) is first
    assert system.open(_avatar(41), Controls()) is not first
    assert system.open(_avatar(), Controls(background="transparent")) is not first
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: system.open(_avatar(7), Controls()), range(8)))
    assert len({id(renderer) for renderer in found}) == 1


def test_a_background_picture_counts_by_its_content(tmp_path: Path) -> None:
    system = MeterSystem(None, MeterConfig())
    controls = replace(Controls(), background=str(tmp_path / "wall.png"))
    Image.new("RGB", (8, 8), "red").save(controls.background)
    red = system.open(_avatar(), controls)
    assert system.open(_avatar(), controls) is red
    Image.new("RGB", (8, 8), "blue").save(controls.background)
    assert system.open(_avatar(), controls) is not red
