from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkingface.face.hidden_background import background_seen, fill_background, push_pull

SIZE = 240


def head(size: int = SIZE) -> np.ndarray:
    """A soft-edged disc and shoulders, float32 [H, W]."""
    mask = np.zeros((size, size), np.float32)
    cv2.circle(mask, (size // 2, size // 2), size // 4, 1.0, -1)
    cv2.rectangle(mask, (size // 5, size * 4 // 5), (size * 4 // 5, size), 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), 1.5)


def stripes(turn_deg: float, size: int = SIZE) -> np.ndarray:
    """Soft stripes in red and white, uint8 [H, W, 3]."""
    y, x = np.mgrid[:size, :size]
    turn = np.radians(turn_deg)
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / (size / 12))
    share = np.clip(1.5 * wave + 0.5, 0, 1)[..., None]
    return np.round(share * (196, 30, 48) + (1 - share) * (240, 240, 236)).astype(np.uint8)


def before(background: np.ndarray, alpha: np.ndarray, colour: tuple[int, int, int] = (40, 30, 25)) -> np.ndarray:
    mixed = alpha[..., None] * np.array(colour) + (1 - alpha[..., None]) * background
    return np.round(mixed).astype(np.uint8)


def rim(alpha: np.ndarray, px: int) -> np.ndarray:
    """What the person hides within `px` of where it ends."""
    hidden = (alpha > 0.5).astype(np.uint8)
    return (hidden > 0) & (cv2.distanceTransform(hidden, cv2.DIST_L2, 5) <= px)


@pytest.mark.parametrize("turn_deg", [0, 25, 90, 140])
def test_stripes_go_on_behind_the_head(turn_deg: float):
    alpha, background = head(), stripes(turn_deg)
    filled = fill_background(before(background, alpha), alpha)
    error = np.abs(filled.astype(float) - background).mean(-1)
    # a quarter of the rim runs along the stripes, where nothing says which colour is next
    assert np.quantile(error[rim(alpha, 10)], 0.7) < 25
    assert background.astype(float).std() > 60


def test_plain_walls_stay_plain_and_nothing_of_the_person_is_left():
    alpha = head()
    y = np.linspace(90, 150, SIZE)[:, None, None]
    wall = np.broadcast_to(y, (SIZE, SIZE, 3)).round().astype(np.uint8)
    filled = fill_background(before(wall, alpha), alpha).astype(float)
    assert np.abs(filled - wall)[rim(alpha, 20)].max() < 12


def test_what_is_seen_of_stripes_is_background_and_what_differs_from_a_wall_is_not():
    alpha = head()
    own = np.full((SIZE, SIZE, 3), (40, 30, 25), np.uint8)
    striped = before(stripes(25), alpha)
    wrong = np.full((SIZE, SIZE, 3), 135, np.uint8)
    seen = background_seen(striped, alpha, own, wrong)
    beside = (alpha > 0.02) & (alpha < 0.3)
    assert np.abs(seen.astype(float) - stripes(25))[beside].mean() < 16, "an edge of stripes is no part of the head"
    wall = np.full((SIZE, SIZE, 3), 180, np.uint8)
    picture = before(wall, alpha)
    strand = np.s_[SIZE // 4 - 3 : SIZE // 4 - 1, SIZE // 2 : SIZE // 2 + 2]
    picture[strand] = (40, 30, 25)
    seen = background_seen(picture, alpha, own, fill_background(picture, alpha))
    assert seen[strand].min() > 120, "a strand that the matte missed does not stay behind on the wall"


def test_a_pyramid_spreads_any_values():
    known = np.zeros((40, 50), bool)
    known[:, :5], known[:, -5:] = True, True
    values = np.where(np.arange(50) < 25, -300.0, 900.0)[None, :, None] * np.ones((40, 50, 2))
    filled = push_pull(values, known)
    assert np.allclose(filled[known], values[known], rtol=1e-3)
    assert filled[:, 20].mean() < 300 < filled[:, 30].mean()


def test_the_grain_of_the_wall_goes_on():
    alpha = head()
    wall = np.clip(150 + np.random.default_rng(0).normal(0, 8, (SIZE, SIZE, 3)), 0, 255).round().astype(np.uint8)
    filled = fill_background(before(wall, alpha), alpha).astype(float)
    fine = filled - cv2.GaussianBlur(filled, (0, 0), 3)
    assert fine[rim(alpha, 20)].std() > 0.7 * fine[alpha == 0].std()
    assert np.abs(filled[rim(alpha, 20)].mean(0) - 150).max() < 4


def test_light_around_a_head_stays_light_behind_its_border():
    alpha = head()
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    wall = np.repeat((230 - 180 * np.hypot(x, y))[..., None], 3, -1).round().astype(np.uint8)
    error = np.abs(fill_background(before(wall, alpha), alpha).astype(float) - wall).mean(-1)
    assert error[rim(alpha, 12)].mean() < 9.5


def test_a_strand_that_leaves_the_matte_belongs_to_the_person():
    alpha = head()
    picture = before(np.full((SIZE, SIZE, 3), 180, np.uint8), alpha)
    strand = np.s_[SIZE // 2 : SIZE // 2 + 3, SIZE * 3 // 4 - 4 : SIZE * 3 // 4 + 16]
    picture[strand] = (40, 30, 25)
    assert np.abs(fill_background(picture, alpha)[strand].astype(int) - 180).max() < 12
    mark = np.s_[10:13, 10:30]  # something else on the wall
    picture[mark] = (40, 30, 25)
    assert fill_background(picture, alpha)[mark].max() < 60
