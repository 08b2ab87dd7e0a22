"""Pictures against a reference, and the sharpness of one picture.

All take uint8 RGB [H, W, 3]. PSNR is over the three channels; the others see luma (BT.601: 0.299 R + 0.587 G + 0.114 B,
rounded to 8 bits, like MATLAB's rgb2gray in the papers' code). Boxes come from the reference's points only, so that a
generated face cannot choose where it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


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
    """The face box: `scale` times the bounding square of points [478, 2 or 3] in pixels, clipped to `size` (w, h)."""
    raise NotImplementedError


def mouth_box(points: np.ndarray, size: tuple[int, int], scale: float = 1.5) -> Box:
    """The mouth box: the same around the lips of points [478, 2 or 3]."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureScores:
    """A picture against its reference; see the functions of the same names."""

    psnr: float
    ssim: float
    ms_ssim: float
    gradient_error: float


def picture_scores(generated: np.ndarray, reference: np.ndarray) -> PictureScores:
    """All four at once, which costs hardly more than MS-SSIM alone. Raises ValueError when the shapes differ."""
    raise NotImplementedError


def psnr(generated: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / mean squared error); infinite for identical pictures."""
    raise NotImplementedError


def ssim(generated: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity of luma, at most 1."""
    raise NotImplementedError


def ms_ssim(generated: np.ndarray, reference: np.ndarray) -> float:
    """Multi-scale structural similarity of luma, in [0, 1]."""
    raise NotImplementedError


def gradient_error(generated: np.ndarray, reference: np.ndarray) -> float:
    """Mean absolute difference of luma's gradients over four scales, in grey levels a pixel."""
    raise NotImplementedError


def cpbd(rgb: np.ndarray) -> float:
    """Cumulative probability of blur detection in [0, 1], 1: sharp (Narvekar & Karam 2011)."""
    raise NotImplementedError


def laplacian_sharpness(rgb: np.ndarray) -> float:
    """Variance of luma's Laplacian, in squared grey levels; larger: sharper. Meant to be compared with a source's."""
    raise NotImplementedError
