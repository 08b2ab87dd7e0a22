"""Picture figures against closed forms, and against float64 references written here from the papers."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy.ndimage import correlate1d, gaussian_filter, gaussian_filter1d

from talkingface.face.topology import LIPS
from talkingface.metrics.picture import (
    Box,
    cpbd,
    gradient_error,
    laplacian_sharpness,
    mouth_box,
    ms_ssim,
    picture_scores,
    psnr,
    square_box,
    ssim,
)


def grey(values: np.ndarray) -> np.ndarray:
    """RGB whose luma is `values` [H, W] exactly."""
    return np.repeat(np.clip(np.rint(values), 0, 255).astype(np.uint8)[..., None], 3, -1)


def scene(height: int = 210, width: int = 251, seed: int = 0) -> np.ndarray:
    """Smooth blobs with some texture: luma float [H, W]."""
    rng = np.random.default_rng(seed)
    blobs = gaussian_filter(rng.normal(size=(height, width)), 6)
    return 120 + 50 * blobs / blobs.std() + rng.normal(0, 6, (height, width))


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean SSIM and contrast-structure by the paper's formula, float64, five separate filters."""
    weights = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(values, weights, 0), weights, 1)[5:-5, 5:-5]

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, cov = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return float((structure * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)).mean()), float(
        structure.mean()
    )


def multi_scale(a: np.ndarray, b: np.ndarray) -> float:
    terms = []
    for _ in range(5):
        terms.append(similarity(a, b))
        height, width = a.shape[0] // 2, a.shape[1] // 2
        a, b = (
            x[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3)) for x in (a, b)
        )  # fmt: skip
    values = [*(structure for _, structure in terms[:4]), terms[4][0]]
    return float(np.prod(np.power(values, (0.0448, 0.2856, 0.3001, 0.2363, 0.1333))))


DAMAGE = {
    "blurred": lambda x: gaussian_filter(x, 2),
    "noisy": lambda x: x + np.random.default_rng(1).normal(0, 20, x.shape),
    "darker": lambda x: x - 30,
    "shifted": lambda x: np.roll(x, 2, 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_similarity_agrees_with_the_formulas(damage: str) -> None:
    a, b = grey(scene()), grey(DAMAGE[damage](scene()))
    reference = [x[..., 0].astype(float) for x in (a, b)]
    assert ssim(a, b) == pytest.approx(similarity(*reference)[0], abs=2e-6)
    assert ms_ssim(a, b) == pytest.approx(multi_scale(*reference), abs=2e-6)


def test_identical_pictures_are_perfect() -> None:
    a = np.random.default_rng(3).integers(0, 256, (190, 230, 3), np.uint8)
    scores = picture_scores(a, a.copy())
    assert (scores.psnr, scores.ssim, scores.ms_ssim, scores.gradient_error) == (math.inf, 1.0, 1.0, 0.0)


def test_all_at_once_equals_one_by_one() -> None:
    a, b = grey(scene()), grey(scene(seed=2))
    scores = picture_scores(a, b)
    assert (scores.psnr, scores.ssim, scores.ms_ssim, scores.gradient_error) == pytest.approx(
        (psnr(a, b), ssim(a, b), ms_ssim(a, b), gradient_error(a, b)), abs=1e-12
    )


def test_psnr_of_known_errors() -> None:
    a = np.full((20, 30, 3), 100, np.uint8)
    assert psnr(a, a + 5) == pytest.approx(20 * math.log10(255 / 5))
    one_channel = a.copy()
    one_channel[..., 1] += 9  # mean squared error 27
    assert psnr(one_channel, a) == pytest.approx(10 * math.log10(255**2 / 27))


def test_ssim_of_flat_pictures_is_their_luminance_term() -> None:
    c1 = 2.55**2
    assert ssim(grey(np.full((40, 40), 50)), grey(np.full((40, 40), 150))) == pytest.approx(
        (2 * 50 * 150 + c1) / (50**2 + 150**2 + c1), abs=1e-4
    )


def test_strips_of_a_large_picture_make_no_difference() -> None:
    a, b = scene(400, 700), scene(400, 700) + np.random.default_rng(4).normal(0, 10, (400, 700))
    a, b = grey(a), grey(b)
    assert ssim(a, b) == pytest.approx(similarity(a[..., 0].astype(float), b[..., 0].astype(float))[0], abs=2e-6)


def test_small_pictures_are_enlarged_for_ms_ssim() -> None:
    a, b = grey(scene(60, 80)), grey(gaussian_filter(scene(60, 80), 2))
    large = [cv2.resize(x[..., 0].astype(np.float32), (235, 176), interpolation=cv2.INTER_CUBIC) for x in (a, b)]
    assert ms_ssim(a, b) == pytest.approx(multi_scale(*(x.astype(float) for x in large)), abs=2e-6)
    assert ms_ssim(a, a) == 1.0


def test_gradient_error_of_ramps() -> None:
    # A ramp of 2 levels a pixel against a flat picture: x differs by 2, 4, 8, 16 a pixel at the four scales, y by 0.
    ramp = np.tile(2.0 * np.arange(64), (64, 1))
    assert gradient_error(grey(ramp), grey(np.full((64, 64), 90))) == pytest.approx((2 + 4 + 8 + 16) / 8)
    assert gradient_error(grey(ramp), grey(ramp + 40)) == 0


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="cannot compare pictures"):
        picture_scores(grey(scene(64, 64)), grey(scene(64, 65)))
    with pytest.raises(ValueError, match="cannot compare pictures"):
        ssim(grey(scene(10, 64)), grey(scene(10, 64)))


def test_scores_do_not_depend_on_the_number_of_threads() -> None:
    a, b = grey(scene(400, 700)), grey(gaussian_filter(scene(400, 700), 1))
    threads, found = cv2.getNumThreads(), []
    try:
        for number in (1, 4):
            cv2.setNumThreads(number)
            scores = picture_scores(a, b)
            found.append((scores.psnr, scores.ssim, scores.ms_ssim, scores.gradient_error, laplacian_sharpness(a)))
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def ramp(width: int, contrast: float) -> np.ndarray:
    """One block whose luma rises within `width` steps by `contrast`; one step is steeper, so that the edge is there."""
    rise = np.interp(np.arange(64), [30, 30 + width], [0, contrast])
    rise[30 + width // 2 + 1 :] += 6
    return grey(np.tile(60 + rise, (64, 1)))


@pytest.mark.parametrize(
    ("width", "contrast", "seen"),
    [(2, 120, 1.0), (3, 120, 1.0), (4, 120, 0.0), (8, 160, 0.0), (4, 40, 1.0), (5, 40, 1.0), (8, 40, 0.0)],
)
def test_cpbd_counts_edges_up_to_the_noticeable_width(width: int, contrast: float, seen: float) -> None:
    # 3 pixels in a block of high contrast, 5 in one of at most 50 levels; all edge pixels are in one column
    assert cpbd(ramp(width, contrast)) == seen


def test_cpbd_falls_with_blur() -> None:
    rng = np.random.default_rng(5)
    steps = np.repeat(np.repeat(rng.uniform(20, 235, (16, 16)), 16, 0), 16, 1)
    values = [cpbd(grey(gaussian_filter1d(steps, sigma, axis=1))) for sigma in (0.1, 0.7, 1.2, 3)]
    assert values[0] > 0.95 and values[-1] < 0.05
    assert values == sorted(values, reverse=True)
    assert cpbd(grey(np.full((128, 128), 90))) == 0.0


def test_laplacian_of_a_checkerboard() -> None:
    board = 100 + 10 * (-1.0) ** np.add.outer(np.arange(64), np.arange(64))  # Laplacian is -80 and 80
    assert laplacian_sharpness(grey(board)) == pytest.approx(80**2)
    # an even ramp has none but at its mirrored ends: 6 and -6 in two of 64 columns
    assert laplacian_sharpness(grey(np.tile(3.0 * np.arange(64), (64, 1)))) == pytest.approx(2 * 6**2 / 64)


def points_between(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    points = np.random.default_rng(6).uniform((left, top), (right, bottom), (478, 2))
    points[0], points[1] = (left, top), (right, bottom)
    return np.column_stack([points, np.zeros(478)])


def test_face_box_is_a_scaled_square() -> None:
    assert square_box(points_between(200, 100, 300, 140), (640, 480)) == Box(185, 55, 315, 185)
    picture = np.zeros((480, 640, 3), np.uint8)
    assert Box(185, 55, 315, 185).cut(picture).shape == (130, 130, 3)


def test_boxes_are_clipped_but_never_empty() -> None:
    assert square_box(points_between(-20, -10, 80, 90), (640, 480)) == Box(0, 0, 95, 105)
    outside = square_box(points_between(700, 500, 720, 520), (640, 480))
    assert outside == Box(624, 464, 640, 480)
    assert square_box(points_between(10, 10, 11, 11), (640, 480)) == Box(2, 2, 18, 18)


def test_mouth_box_sees_lips_only() -> None:
    points = points_between(0, 0, 600, 400)
    lips = list(LIPS)
    points[lips, :2] = np.random.default_rng(7).uniform((250, 300), (350, 340), (len(lips), 2))
    points[lips[0], :2], points[lips[1], :2] = (250, 300), (350, 340)
    assert mouth_box(points, (640, 480)) == Box(225, 245, 375, 395)
