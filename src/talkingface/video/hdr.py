"""High dynamic range (PQ and HLG, BT.2020) brought to the 8-bit sRGB that the rest of the toolkit works in."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

PQ, HLG = 16, 18  # transfer characteristics as numbered by ITU-T H.273

_WHITE_NITS = 203.0  # what an SDR white becomes in HDR (ITU-R BT.2408)
_KNEE = 0.6  # below this share of white nothing changes; above, highlights roll off
_PEAK = 8.0  # share of white at which the output table ends, by then at full white
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def to_sdr(rgb: np.ndarray, transfer: int) -> np.ndarray:
    """Tone-map uint16 [H, W, 3], full range, BT.2020 primaries, `transfer` PQ or HLG, to uint8 sRGB."""
    linear = _decode_table(transfer)[rgb >> 6]  # ten bits are all that cameras record
    linear = cv2.transform(linear, _BT2020_TO_BT709 * np.float32(65535.0 / _PEAK))
    return _encode_table()[np.clip(linear, 0, 65535).astype(np.uint16)]


@lru_cache
def _decode_table(transfer: int) -> np.ndarray:
    """Code value (1024 of them) to light, 1.0 being white."""
    code = np.linspace(0.0, 1.0, 1024)
    if transfer == PQ:  # SMPTE ST 2084
        power = code ** (1 / 78.84375)
        nits = 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    else:  # ITU-R BT.2100 HLG on a display of 1000 nits, whose system gamma is 1.2
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        nits = 1000 * scene**1.2
    return (nits / _WHITE_NITS).astype(np.float32)


@lru_cache
def _encode_table() -> np.ndarray:
    """Light in steps of _PEAK / 65535 to sRGB code values, highlights rolled off."""
    light = np.linspace(0.0, _PEAK, 65536)
    rolled = np.where(light <= _KNEE, light, 1 - (1 - _KNEE) * np.exp(-(light - _KNEE) / (1 - _KNEE)))
    code = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    return np.round(code * 255).astype(np.uint8)
