"""Pictures against a reference, and the sharpness of one picture.

All take uint8 RGB [H, W, 3]. PSNR is over the three channels; the others see luma: BT.601 (0.299 R + 0.587 G +
0.114 B) rounded to 8 bits, as the papers' own MATLAB code does; who has it already may give it, uint8 [H, W]. Boxes
come from the reference's points only, so that a generated face cannot choose where it is measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from talkingface.face.topology import LIPS
from talkingface.metrics.similarity import WINDOW, similarity

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of MS-SSIM's five scales, finest first (Wang, Simoncelli & Bovik 2003)."""
SMALLEST_MS_SSIM = WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)
GRADIENT_SCALES = 4
SMALLEST_BOX = 16

BLOCK = 64
EDGE_SHARE = 0.002
LONGEST_HALF = 101
LOW_CONTRAST = 50
LOW_CONTRAST_WIDTH, HIGH_CONTRAST_WIDTH = 5, 3
"""CPBD's constants: block size, share of edge pixels that makes a block count, and the just noticeable blurs in pixels
of blocks whose luma spans at most, or more than, 50 grey levels."""


class Box(NamedTuple):
    """Whole pixels of a picture: left and top inside, right and bottom one past the end."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """The part of `rgb` [H, W, ...] inside, a view."""
        return rgb[self.top : self.bottom, self.left : self.right]


def square_box(points: np.ndarray, size: tuple[int, int], scale: float = 1.3) -> Box:
    """`scale` times the bounding square of points [N, 2 or 3] in pixels, clipped to the picture's `size` (w, h).

    Of all 478 points it is the face box. A box is never smaller than 16 pixels, unless the picture is.
    """
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side = max(round(float((high - low).max()) * scale), SMALLEST_BOX)
    edges = []
    for centre, length in zip((low + high) / 2, size, strict=True):
        start = round(float(centre) - side / 2)
        # A face at the very edge still gets a box that can be measured.
        first = max(min(start, length - SMALLEST_BOX), 0)
        edges.append((first, min(max(start + side, first + SMALLEST_BOX), length)))
    (left, right), (top, bottom) = edges
    return Box(left, top, right, bottom)


def mouth_box(points: np.ndarray, size: tuple[int, int], scale: float = 1.5) -> Box:
    """The mouth box: the same around the lips of points [478, 2 or 3]."""
    return square_box(points[list(LIPS)], size, scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureScores:
    """A picture against its reference; see the functions of the same names."""

    psnr: float
    ssim: float
    ms_ssim: float
    gradient_error: float


def luma(rgb: np.ndarray) -> np.ndarray:
    """What the figures but PSNR see of uint8 RGB [H, W, 3] (or of luma, which is given back): uint8 [H, W]."""
    return rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def picture_scores(
    generated: np.ndarray, reference: np.ndarray, lumas: tuple[np.ndarray, np.ndarray] | None = None
) -> PictureScores:
    """All four at once, which costs hardly more than MS-SSIM alone; `lumas` of both, if they are known.

    Raises ValueError when the shapes differ or the pictures are smaller than 11 pixels.
    """
    _check(generated, reference)
    a, b = (_float_luma(picture) for picture in lumas or (generated, reference))
    first = similarity(a, b)
    return PictureScores(
        psnr=psnr(generated, reference),
        ssim=first[0],
        ms_ssim=_over_scales(a, b, first),
        gradient_error=_gradient_error(a, b),
    )


def psnr(generated: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean squared error); infinite for identical pictures."""
    _check(generated, reference)
    error = cv2.norm(generated, reference, cv2.NORM_L2SQR) / generated.size
    return 10 * math.log10(255**2 / error) if error > 0 else math.inf


def ssim(generated: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity of luma in [-1, 1] (Wang, Bovik, Sheikh & Simoncelli 2004).

    Gaussian window of 11 pixels and sigma 1.5, K1 0.01, K2 0.03, population covariances, only whole windows, at full
    resolution (the authors' later script halves large pictures first; common libraries do not). In float32: good to
    1e-6 on pictures with texture, 1e-4 on flat ones.
    """
    _check(generated, reference)
    return similarity(_float_luma(generated), _float_luma(reference))[0]


def ms_ssim(generated: np.ndarray, reference: np.ndarray) -> float:
    """Multi-scale structural similarity of luma in [0, 1] (Wang, Simoncelli & Bovik 2003), five scales.

    Pictures are halved by averages of 2 x 2 pixels; a scale whose contrast-structure term is negative counts as 0.
    The coarsest scale needs 176 pixels: smaller pictures (mouth boxes) are first enlarged, both by the same
    bicubic interpolation, until their shorter side has them.
    """
    _check(generated, reference)
    a, b = _float_luma(generated), _float_luma(reference)
    return _over_scales(a, b, similarity(a, b))


def gradient_error(generated: np.ndarray, reference: np.ndarray) -> float:
    """Multi-scale gradient error: mean absolute difference of luma's gradients, in grey levels a pixel.

    Differences of neighbours in x and in y, averaged over both and over four scales, each half as large as the one
    before (gradient matching of Li & Snavely 2018, on luma instead of depth). 0: all edges are where they should be.
    """
    _check(generated, reference)
    return _gradient_error(_float_luma(generated), _float_luma(reference))


def laplacian_sharpness(rgb: np.ndarray) -> float:
    """Variance of luma's Laplacian (4 neighbours) in squared grey levels (Pech-Pacheco et al. 2000).

    Larger: sharper, but noisier too; it means something only as a ratio to another picture of the same face and size.
    """
    edges = cv2.Laplacian(luma(rgb), cv2.CV_16S)
    return float(cv2.meanStdDev(edges)[1].item() ** 2)


def cpbd(rgb: np.ndarray) -> float:
    """Cumulative probability of blur detection in [0, 1], 1: no blur can be seen (Narvekar & Karam 2011).

    The share of edge pixels whose blur is not noticed: an edge's width is the distance of luma's extrema to its left
    and right, and is noticed with probability 1 - exp(-(width / w)^3.6), w = 5 px where a 64 x 64 block's luma spans
    up to 50 levels, else 3; below 63 % it is not noticed, which is to say up to that width. As in the authors'
    release: Sobel edges with the threshold of MATLAB's `edge`, widths along rows, blocks with more than 0.2 % edge
    pixels, 0 if there is none; unlike it, an edge along its row has no width. A picture narrower than a block is one.
    """
    grey = luma(rgb)
    edges = _sobel_edges(grey)
    widths = _edge_widths(grey, edges)
    height, width = grey.shape
    noticed, total = 0, 0
    for top in range(0, max(height - BLOCK, 0) + 1, BLOCK):
        for left in range(0, max(width - BLOCK, 0) + 1, BLOCK):
            part = np.s_[top : top + BLOCK, left : left + BLOCK]
            if np.count_nonzero(edges[part]) > edges[part].size * EDGE_SHARE:
                contrast = int(grey[part].max()) - int(grey[part].min())
                limit = LOW_CONTRAST_WIDTH if contrast <= LOW_CONTRAST else HIGH_CONTRAST_WIDTH
                noticed += np.count_nonzero(widths[part] > limit)
                total += np.count_nonzero(widths[part])
    return 1 - noticed / total if total else 0.0


def _check(generated: np.ndarray, reference: np.ndarray) -> None:
    if generated.shape != reference.shape or generated.ndim != 3 or min(generated.shape[:2]) < WINDOW:
        raise ValueError(f"cannot compare pictures of shapes {generated.shape} and {reference.shape}")


def _float_luma(picture: np.ndarray) -> np.ndarray:
    return luma(picture).astype(np.float32)


def _over_scales(a: np.ndarray, b: np.ndarray, first: tuple[float, float]) -> float:
    """MS-SSIM of two lumas whose `similarity` is `first`."""
    shortest = min(a.shape)
    if shortest < SMALLEST_MS_SSIM:
        size = [math.ceil(length * SMALLEST_MS_SSIM / shortest) for length in reversed(a.shape)]
        a, b = (cv2.resize(luma, size, interpolation=cv2.INTER_CUBIC) for luma in (a, b))
        first = similarity(a, b)
    score = max(first[1], 0) ** SCALE_WEIGHTS[0]
    for weight in SCALE_WEIGHTS[1:]:
        a, b = _halved(a), _halved(b)
        whole, structure = similarity(a, b)
        score *= max(whole if weight == SCALE_WEIGHTS[-1] else structure, 0) ** weight
    return score


def _halved(luma: np.ndarray) -> np.ndarray:
    height, width = luma.shape[0] // 2, luma.shape[1] // 2
    return cv2.resize(luma[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def _gradient_error(a: np.ndarray, b: np.ndarray) -> float:
    difference = a - b  # gradients are linear, so this one picture is enough
    errors = []
    for scale in range(GRADIENT_SCALES):
        if scale:
            if min(difference.shape) < 4:
                break
            difference = _halved(difference)
        for first, second in (
            (difference[:, :-1], difference[:, 1:]),
            (difference[:-1], difference[1:]),
        ):
            errors.append(cv2.norm(first, second, cv2.NORM_L1) / first.size)
    return float(np.mean(errors))


def _sobel_edges(grey: np.ndarray) -> np.ndarray:
    """Thin Sobel edges, bool [H, W], with the threshold that MATLAB's `edge` takes when given none."""
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    x, y = x * x, y * y
    strength = x + y
    edges = np.zeros(grey.shape, bool)
    core = strength[1:-1, 1:-1]
    across = (x >= y)[1:-1, 1:-1] & (strength[1:-1, :-2] <= core) & (core > strength[1:-1, 2:])
    down = (y >= x)[1:-1, 1:-1] & (strength[:-2, 1:-1] <= core) & (core > strength[2:, 1:-1])
    edges[1:-1, 1:-1] = (core > 4 * strength.mean()) & (across | down)
    return edges


def _edge_widths(grey: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Width along its row of the edge at each pixel of `edges`, int32 [H, W]; 0 elsewhere, and where luma changes
    mostly up or down.

    An edge ends where luma stops falling, or rising, on the way from the pixel's neighbours outwards.
    """
    values = cv2.copyMakeBorder(grey, 1, 1, 1, 1, cv2.BORDER_REPLICATE).astype(np.int16)
    row, column = np.nonzero(edges)
    row, column = row + 1, column + 1
    gradient_x = values[row, column + 1] - values[row, column - 1]
    gradient_y = values[row + 1, column] - values[row - 1, column]
    across = (gradient_x != 0) & (np.abs(gradient_y) <= math.tan(math.pi / 8) * np.abs(gradient_x))
    row, column, sign = row[across], column[across], np.sign(gradient_x[across])
    width = np.zeros(len(row), np.int32)
    for side in (-1, 1):
        going, place = np.arange(len(row)), column + side
        for _ in range(LONGEST_HALF):
            width[going] += 1
            step = values[row[going], place + side] - values[row[going], place]
            on = step * sign[going] * side > 0  # the picture's replicated border has no step
            going, place = going[on], place[on] + side
            if not len(going):
                break
    widths = np.zeros(grey.shape, np.int32)
    widths[row - 1, column - 1] = width
    return widths
