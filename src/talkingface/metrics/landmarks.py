"""Generated landmarks against the reference's, in the published conventions and in ours.

Points are tracks [T, 478, 3] in pixels (face mesh); both videos on one clock. Each function returns (value, per_frame
float64 [T]); the value is the mean over frames. Raises ValueError when the shapes differ or no frame is given.
"""

from __future__ import annotations

import numpy as np

Size = tuple[int, int]
"""Width and height in pixels."""


def lmd_mouth_512(
    generated: np.ndarray, reference: np.ndarray, generated_size: Size, reference_size: Size
) -> tuple[float, np.ndarray]:
    """Mouth landmark distance, each mouth's mean removed, in pixels of pictures whose shorter side is 512."""
    raise NotImplementedError


def lmd_face_512(
    generated: np.ndarray, reference: np.ndarray, generated_size: Size, reference_size: Size
) -> tuple[float, np.ndarray]:
    """Face landmark distance (68 points), each face's mean removed, in pixels of pictures whose shorter side is 512."""
    raise NotImplementedError


def lmd_256(
    generated: np.ndarray, reference: np.ndarray, generated_size: Size, reference_size: Size
) -> tuple[float, np.ndarray]:
    """Mouth landmark distance in pixels of one fixed 256-pixel crop around the reference's face; nothing removed."""
    raise NotImplementedError


def lmd_aligned(generated: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """Mouth landmark distance after similarity alignment on points that speech does not move, in inter-ocular distances."""
    raise NotImplementedError


def lve(generated: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """Lip vertex error: the largest distance of any lip vertex in a frame, aligned as above, in inter-ocular distances."""
    raise NotImplementedError


def identity_drift(points: np.ndarray, fps: float) -> tuple[float, np.ndarray]:
    """How far a face's neutral shape wanders from the one it began with, in inter-ocular distances."""
    raise NotImplementedError
