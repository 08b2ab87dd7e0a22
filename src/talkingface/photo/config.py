"""Settings of the refiner. Standard library only: systems' configs hold them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerConfig:
    """Widths of the refiner's networks, per scale from fine to coarse, and the sizes they work at."""

    face_widths: tuple[int, ...] = (24, 48, 96)
    """FaceNet, at 1/8, 1/16 and 1/32 of the face crop."""
    mouth_widths: tuple[int, ...] = (24, 48, 96)
    """MouthNet, at 1/3, 1/6 and 1/12 of the mouth patch."""
    crop_px: int = 256
    """Side of the face crop that the refiner works on."""
    mouth_px: tuple[int, int] = (96, 80)
    """Width and height of the mouth patch in pixels of the face crop; multiples of 8."""

    @property
    def patch_px(self) -> tuple[int, int]:
        """Width and height at which the mouth patch is seen: one and a half times finer than the face crop."""
        return patch_size(self.mouth_px)


def patch_size(mouth_px: tuple[int, int]) -> tuple[int, int]:
    """See `RefinerConfig.patch_px`."""
    return mouth_px[0] * 3 // 2, mouth_px[1] * 3 // 2
