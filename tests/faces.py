"""Faces for tests: the shipped sample, and one that is only a mesh on coloured ground."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from talkingface.core.samples import sample
from talkingface.face.morphable import load_mesh478
from talkingface.face.track import track_image
from talkingface.video.image import read_image


@functools.cache
def sample_picture() -> np.ndarray:
    """The shipped portrait, 360 pixels on its longer side, uint8 [H, W, 3]."""
    rgb = read_image(sample("portrait")).rgb
    scale = 360 / max(rgb.shape[:2])
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


@functools.cache
def sample_points() -> np.ndarray:
    """Its landmarks [478, 3]."""
    return track_image(sample_picture()).landmarks


def mesh_points(unit: float = 50.0, centre: tuple[float, float] = (128.0, 120.0)) -> np.ndarray:
    """The mean face as landmarks float32 [478, 3], eyes `unit` pixels apart."""
    return (load_mesh478().mean * unit + (*centre, 0)).astype(np.float32)


def open_mouth(points: np.ndarray, amount: float = 0.25) -> np.ndarray:
    """The same face with its lower lip and chin dropped by `amount` of the eye distance."""
    unit = np.linalg.norm(points[33] - points[263])
    model = load_mesh478()
    gaps = [np.ptp(model.displacement(row)[[13, 14], 1]) for row in np.eye(model.expression.shape[-1])]
    jaw = np.eye(len(gaps), dtype=np.float32)[int(np.argmax(gaps))]
    drop = model.displacement(jaw)
    opening = drop[14, 1] - drop[13, 1]
    return (points + unit * amount / opening * drop).astype(np.float32)


@functools.cache
def drawn_picture(size: tuple[int, int] = (256, 256)) -> np.ndarray:
    """Soft colours with some detail, uint8 [H, W, 3]: what it shows does not matter to the geometry."""
    few = np.random.default_rng(4).integers(40, 215, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
    return cv2.resize(few, size, interpolation=cv2.INTER_CUBIC)


def person_alpha(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A soft-edged oval around face and hair, float32 [H, W]."""
    unit = float(np.linalg.norm(points[33] - points[263]))
    x, y = points[:, :2].min(0) / 2 + points[:, :2].max(0) / 2
    mask = np.zeros(shape[:2], np.float32)
    cv2.ellipse(mask, (int(x), int(y)), (int(1.2 * unit), int(1.5 * unit)), 0, 0, 360, 1.0, -1)
    cv2.rectangle(mask, (int(x - 2 * unit), int(y + 1.4 * unit)), (int(x + 2 * unit), shape[0]), 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), 2)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """In dB, of uint8 pictures."""
    return float(10 * np.log10(255**2 / max(np.square(a.astype(np.float64) - b).mean(), 1e-9)))
