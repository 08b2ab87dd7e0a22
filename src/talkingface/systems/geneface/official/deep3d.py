"""The square in which Deep3D's network sees the face of a frame, as the published data have it.

Points and pictures count pixels from the picture's corner, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from talkingface.face.deep3d import CROP_PX

STANDARD_POINTS = np.array(
    [
        [-0.31148698925971985, 0.2903609871864319, 0.13378000259399414],
        [0.3097989857196808, 0.28971999883651733, 0.1317950040102005],
        [0.0032530000898987055, -0.04617900028824806, 0.5524420142173767],
        [-0.25216901302337646, -0.38133901357650757, 0.22405700385570526],
        [0.24846599996089935, -0.3812820017337799, 0.22235800325870514],
    ]
)
"""Eyes, nose tip and mouth corners of the mean face: 10 cm, x right, y up, z to the viewer."""
RESCALE = 102.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Where a frame of `size` (width, height) lies in the square that the network sees: resized by `scale`, around
    (`x`, `y`), y measured upwards."""

    size: tuple[int, int]
    scale: float
    x: float
    y: float

    def row(self) -> np.ndarray:
        """Width, height, scale, x, y: [5]."""
        return np.array([*self.size, self.scale, self.x, self.y])

    @property
    def resized(self) -> tuple[int, int]:
        """The whole frame at that scale (width, height)."""
        return int(self.size[0] * self.scale), int(self.size[1] * self.scale)

    @property
    def corner(self) -> tuple[int, int]:
        """The square's corner (left, top) in the resized frame."""
        width, height = self.resized
        left = width / 2 - CROP_PX / 2 + (self.x - self.size[0] / 2) * self.scale
        top = height / 2 - CROP_PX / 2 + (self.size[1] / 2 - self.y) * self.scale
        return int(left), int(top)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Eyes, nose tip and mouth corners [..., 5, 2] of 68 points [..., 68, 2]."""
    left, right = (landmarks[..., pair, :].mean(-2) for pair in ([36, 39], [42, 45]))
    return np.stack([left, right, landmarks[..., 30, :], landmarks[..., 48, :], landmarks[..., 54, :]], -2)


def align(points: np.ndarray, size: tuple[int, int]) -> Alignment:
    """The alignment of a frame of `size` (width, height) with five points [5, 2], y up from the lowest row."""
    design = np.concatenate([STANDARD_POINTS, np.ones((5, 1))], 1)
    solved = np.linalg.lstsq(design, points, rcond=None)[0]
    scale = np.linalg.norm(solved[:3], axis=0).mean()
    return Alignment(size=size, scale=float(RESCALE / scale), x=float(solved[3, 0]), y=float(solved[3, 1]))


def upwards(points: np.ndarray, height: int) -> np.ndarray:
    """Points [..., 2] with y down from the first row as points with y up from the last one, and back."""
    return np.stack([points[..., 0], height - 1 - points[..., 1]], -1)


def aligned_points(points: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Points [..., 2], y up, in the square."""
    size, place = np.array(alignment.size), np.array([alignment.x, alignment.y])
    return (points - place + size / 2) * alignment.scale - (np.array(alignment.resized) / 2 - CROP_PX / 2)


def aligned_picture(rgb: np.ndarray, alignment: Alignment) -> np.ndarray:
    """The square uint8 [224, 224, 3] of a frame; black where the frame ends."""
    left, top = alignment.corner
    resized = Image.fromarray(rgb).resize(alignment.resized, Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + CROP_PX, top + CROP_PX)))
