"""Laying the mark on: what is changed, how much, and that every frame is marked alike."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.core.types import Frames
from talkingface.trust.mark import Marker, mark_frames, mark_payload

PAYLOAD = mark_payload("job")


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (333, 517), (1280, 720), (9, 5), (1, 1)])
def test_little_is_changed(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    before = rgb.copy()
    marked = Marker(size, 25, PAYLOAD).apply(rgb)
    assert marked.shape == rgb.shape and marked.dtype == np.uint8 and np.array_equal(rgb, before)
    assert np.abs(marked.astype(int) - rgb).max() <= 4
    flat = np.full_like(rgb, 128)
    changed = Marker(size, 25, PAYLOAD).apply(flat).astype(int) - 128
    assert np.abs(changed).max() <= 1 and (changed[..., :1] == changed).all(), "colours stay"
    if min(size) > 100:
        assert _psnr(flat, 128 + changed) > 48 and abs(changed.mean()) < 0.1


def test_a_job_goes_on_as_it_would_have() -> None:
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 256, (6, 64, 80, 3), np.uint8)
    marker = Marker((80, 64), 25, PAYLOAD)
    whole = [marker.apply(rgb) for rgb in frames]
    later = Marker((80, 64), 25, PAYLOAD, start_frame=4)
    for rgb, expected in zip(frames[4:], whole[4:], strict=True):
        np.testing.assert_array_equal(later.apply(rgb), expected)


def test_only_what_is_opaque_is_marked() -> None:
    rgb = np.full((64, 64, 3), 90, np.uint8)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 20:40], alpha[:, 40:] = 254, 255
    marked = Marker((64, 64), 25, PAYLOAD).apply(rgb, alpha)
    assert (marked[:, :40] == 90).all() and (marked[:, 40:] != 90).any()


def test_frames_that_are_no_plain_arrays() -> None:
    wide = np.random.default_rng(3).integers(0, 256, (40, 120, 3), np.uint8)
    marker = Marker((60, 40), 25, PAYLOAD)
    np.testing.assert_array_equal(marker.apply(wide[:, ::2]), marker.apply(wide[:, ::2].copy()))
    for wrong in (wide, wide[:, :60].astype(float), wide[:, :60, :2]):
        with pytest.raises(ValueError, match=r"uint8 \[40, 60, 3\]"):
            marker.apply(wrong)


def test_streams_keep_masks_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKINGFACE_MARK_KEY", "mine")
    rgb = np.full((3, 40, 60, 3), 90, np.uint8)
    mask = np.full((3, 40, 60), 255, np.uint8)
    (one, two) = mark_frames(iter([Frames(rgb=rgb), Frames(rgb=rgb, mask=mask, start=3)]), 25, PAYLOAD)
    assert one.mask is None and two.mask is mask and two.start == 3
    expected = Marker((60, 40), 25, PAYLOAD, b"mine").apply(rgb[0])
    np.testing.assert_array_equal(np.concatenate([one.rgb, two.rgb]), np.repeat(expected[None], 6, 0))
    assert list(mark_frames(iter([]), 25, PAYLOAD)) == []
