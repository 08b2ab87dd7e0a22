from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkingface.video.resize_area import shrink_area


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((717, 717), (640, 640)), ((431, 388), (256, 230)), ((640, 300), (101, 37)), ((90, 60), (90, 41)),
        ((80, 60), (40, 30)),
    ],
)  # fmt: skip
def test_it_is_opencvs_area_average(old: tuple[int, int], new: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (old[1], old[0], 3)).astype(np.uint8)
    expected = cv2.resize(rgb, new, interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(shrink_area(rgb, new), expected)
    np.testing.assert_array_equal(
        shrink_area(rgb[:, ::-1], new), cv2.resize(rgb[:, ::-1], new, interpolation=cv2.INTER_AREA)
    )


def test_white_stays_white_and_brightness_stays() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (333, 451, 3)).astype(np.uint8)
    assert (shrink_area(np.full_like(rgb, 255), (211, 140)) == 255).all()
    np.testing.assert_allclose(shrink_area(rgb, (211, 140)).mean((0, 1)), rgb.mean((0, 1)), atol=0.2)


def test_it_does_not_enlarge() -> None:
    with pytest.raises(ValueError, match="cannot be shrunk to 65 x 20"):
        shrink_area(np.zeros((64, 64, 3), np.uint8), (65, 20))
