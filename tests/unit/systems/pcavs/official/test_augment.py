from __future__ import annotations

import numpy as np
import pytest

from talkingface.systems.pcavs.alignment.align import SIZE_PX
from talkingface.systems.pcavs.alignment.crop import from_network, loader_crop, network_matrix, to_network
from talkingface.systems.pcavs.official.augment import draw_augmentation


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), np.uint8)


def test_draws_stay_in_their_ranges_and_reach_their_ends():
    drawn = [draw_augmentation(np.random.default_rng(seed), 3) for seed in range(400)]
    assert all(0.3 <= d.factor < 1.6 and 0 <= d.extra_px < d.reshape_px // 2 for d in drawn)
    assert {d.channels for d in drawn} == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)}
    assert {d.reshape_px for d in drawn} == set(range(15, 25))
    assert {abs(d.perspective_px) for d in drawn} == set(range(20, 30))
    assert {abs(d.enlarge_px) for d in drawn} == set(range(20, 40))
    assert {len(d.blur_sizes) for d in drawn} == {0, 3}


def test_equal_seeds_give_equal_pictures():
    clip = frames(2)
    once, again = (draw_augmentation(np.random.default_rng(4), 2).apply(clip) for _ in range(2))
    assert once.shape == clip.shape and once.dtype == np.uint8
    np.testing.assert_array_equal(once, again)


def test_other_sizes_are_refused():
    small = np.zeros((1, 192, 192, 3), np.uint8)
    with pytest.raises(ValueError, match="224"):
        draw_augmentation(np.random.default_rng(0), 1).apply(small)
    with pytest.raises(ValueError, match="224"):
        loader_crop(small)


def test_networks_see_and_return_pictures():
    clip = frames(2)
    values = to_network(clip)
    assert values.shape == (2, 3, SIZE_PX, SIZE_PX) and values.min() == -1 and values.max() == 1
    assert np.abs(from_network(values).astype(int) - clip).max() <= 1


def test_network_matrix_follows_the_loader():
    whole = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    whole[100:110, 60:70] = 255
    seen = loader_crop(whole)[..., 0].astype(float)
    row, column = np.mgrid[:SIZE_PX, :SIZE_PX]
    centre = (seen * column).sum() / seen.sum(), (seen * row).sum() / seen.sum()
    matrix = network_matrix(np.array([[1.0, 0, 0], [0, 1, 0]]))
    np.testing.assert_allclose(matrix[:, :2] @ (64.5, 104.5) + matrix[:, 2], centre, atol=0.05)
