"""Settings of the refiner. Standard library only: systems' configs hold them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerConfig:
    """Widths of the refiner's networks, per scale from fine to coarse, and the sizes they work at."""

    face_widths: tuple[int, ...] = (24, 48, 96)
    """FaceNet, at 1/8, 1/16 and 1/32 of the face crop."""
    mouth_widths: tuple[int, ...] = (24, 48, 96)
    """MouthNet, at 1/2, 1/4 and 1/8 of the mouth patch."""
    crop_px: int = 256
    """Side of the face crop that the refiner works on."""
    mouth_px: tuple[int, int] = (96, 80)
    """Width and height of the mouth patch within the face crop; multiples of 8."""
