from __future__ import annotations

import cv2
import numpy as np

from faces import sample_picture, sample_points
from talkingface.face.hidden_background import fill_background
from talkingface.face.matte import matte_by_colour, near_colours, person_matte, unmix_colours

RED, GREEN = np.array([200.0, 30, 30]), np.array([20.0, 180, 40])


def soft_disc(size: int = 96) -> np.ndarray:
    mask = np.zeros((size, size), np.float32)
    cv2.circle(mask, (size // 2, size // 2), size // 4, 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), 3)


def composite(alpha: np.ndarray) -> np.ndarray:
    return np.round(alpha[..., None] * RED + (1 - alpha[..., None]) * GREEN).astype(np.uint8)


def test_the_matte_covers_the_face():
    alpha = person_matte(sample_picture())
    assert alpha.shape == sample_picture().shape[:2] and alpha.dtype == np.float32
    assert alpha.min() >= 0 and alpha.max() <= 1
    x, y = sample_points()[1, :2].astype(int)
    assert alpha[y, x] > 0.9


def test_the_hole_is_filled_from_around_and_the_rest_is_kept():
    alpha = soft_disc()
    filled = fill_background(composite(alpha), alpha)
    far = alpha == 0
    far = cv2.erode(far.astype(np.uint8), np.ones((9, 9))) > 0
    assert np.array_equal(filled[far], composite(alpha)[far])
    assert np.abs(filled.astype(float) - GREEN).max() < 12, "no red is left"


def test_a_picture_full_of_person_stays_itself():
    picture = composite(soft_disc())
    assert np.array_equal(fill_background(picture, np.ones((96, 96), np.float32)), picture)


def test_soft_edges_lose_the_old_background():
    alpha = soft_disc()
    background = np.broadcast_to(GREEN.astype(np.uint8), (96, 96, 3))
    own = unmix_colours(composite(alpha), alpha, background)
    edge = alpha > 0.02
    assert np.abs(own[edge].astype(float) - RED).max() < 25
    on_white = alpha[..., None] * own + (1 - alpha[..., None]) * 255
    assert (on_white[..., 1] - on_white[..., 2]).max() < 10, "no green fringe over white"


def test_opaque_and_empty_mattes_change_nothing():
    picture = composite(soft_disc())
    for value in (0, 1):
        alpha = np.full((96, 96), value, np.float32)
        assert np.array_equal(unmix_colours(picture, alpha, picture), picture)


def test_opaque_colours_spread_everywhere():
    spread = near_colours(composite(soft_disc()), soft_disc())
    assert np.abs(spread.astype(float) - RED).max() < 12


def test_an_outline_drawn_too_soft_becomes_as_sharp_as_its_colours():
    true, soft = (cv2.GaussianBlur(soft_disc(), (0, 0), sigma) for sigma in (0.5, 6))
    found = matte_by_colour(composite(true), soft)
    assert np.abs(found - true).mean() < 0.25 * np.abs(soft - true).mean()


def test_where_colours_say_nothing_the_matte_stays():
    soft = cv2.GaussianBlur(soft_disc(), (0, 0), 4)
    plain = np.full((96, 96, 3), 120, np.uint8)
    assert np.array_equal(matte_by_colour(plain, soft), soft)
    alike = composite(soft_disc())
    alike[:, :, 2] = np.indices((96, 96)).sum(0) % 2 * 255  # a pattern that is neither the one colour nor the other
    assert np.abs(matte_by_colour(alike, soft) - soft).mean() < 0.03
    for value in (0, 1):
        assert (matte_by_colour(composite(soft), np.full((96, 96), value, np.float32)) == value).all()
