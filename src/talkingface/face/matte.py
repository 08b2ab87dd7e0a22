"""The person apart from the background: a soft matte, colours without fringe, and the filled background."""

from __future__ import annotations

import cv2
import numpy as np

from talkingface.face.networks import face_models, see_square, to_input

NETWORK_PX = 256
GUIDE_EPS = 1e-4
FILL_PX = 320  # the hidden background is invented at this size: it has no detail to show


def person_matte(rgb: np.ndarray) -> np.ndarray:
    """Opacity of people in an upright uint8 picture: float32 [H, W] in [0, 1], edges refined by a guided filter."""
    h, w = rgb.shape[:2]
    small = see_square(rgb, np.array([[0, h], [0, 0], [w, 0], [w, h]]), NETWORK_PX)
    coarse = face_models().networks["matte"](to_input(small))[0][0, 0]
    radius = max(2, round(max(h, w) / 90))
    guide = rgb.astype(np.float32) / 255
    refined = cv2.ximgproc.guidedFilter(guide, cv2.resize(coarse, (w, h)), radius, GUIDE_EPS)
    # the network is undecided about hair; a steeper ramp keeps thin strands and drops the haze around them
    return np.clip((refined - 0.12) / 0.76, 0, 1).astype(np.float32)


def fill_background(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`rgb` with the person (alpha > 0) painted over from around: uint8 [H, W, 3]."""
    h, w = rgb.shape[:2]
    scale = min(1.0, FILL_PX / max(h, w))
    small = (max(8, round(w * scale)), max(8, round(h * scale)))
    hole = cv2.dilate(
        (alpha > 0.02).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(max(h, w) / 150))
    )
    hole_small = (cv2.resize(hole, small, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    if hole_small.all():
        return rgb.copy()
    known = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
    filled = cv2.resize(_push_pull(known, hole_small == 0), (w, h), interpolation=cv2.INTER_LINEAR)
    edge = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), max(1.0, max(h, w) / 300))[..., None]
    edge = np.where(hole[..., None] > 0, 1.0, edge)
    return np.round(rgb * (1 - edge) + filled * edge).astype(np.uint8)


def unmix_colours(rgb: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The person's own colours at soft edges, free of the background's: uint8 [H, W, 3].

    Solves rgb = alpha * person + (1 - alpha) * background and leans on the nearest opaque colours where
    alpha is too low to divide by.
    """
    solid = alpha > 0.95
    if not solid.any():
        return rgb.copy()
    near = near_colours(rgb, alpha)
    a = alpha[..., None]
    solved = np.clip((rgb.astype(np.float32) - (1 - a) * background) / np.maximum(a, 0.25), 0, 255)
    trust = np.clip((a - 0.3) / 0.6, 0, 1)
    mixed = trust * solved + (1 - trust) * near
    return np.where(solid[..., None], rgb, np.round(mixed)).astype(np.uint8)


def near_colours(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The person's opaque colours spread over everything else: uint8 [H, W, 3]."""
    return _push_pull(rgb, alpha > 0.95)


def _push_pull(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Smooth fill of unknown pixels from the known ones over a pyramid (Gortler et al. 1996). uint8 [H, W, 3]."""
    weight = known.astype(np.float32)
    levels: list[tuple[np.ndarray, np.ndarray]] = [(rgb.astype(np.float32) * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2 and (levels[-1][1] == 0).any():
        colour, weight = levels[-1]
        size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
        levels.append(
            (
                cv2.resize(colour, size, interpolation=cv2.INTER_AREA),
                cv2.resize(weight, size, interpolation=cv2.INTER_AREA),
            )
        )
    colour, weight = levels.pop()
    filled = colour / np.maximum(weight, 1e-6)[..., None]
    while levels:
        colour, weight = levels.pop()
        size = (weight.shape[1], weight.shape[0])
        coarse = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
        share = np.clip(weight, 0, 1)[..., None]
        filled = colour / np.maximum(weight, 1e-6)[..., None] * share + coarse * (1 - share)
    return np.clip(filled, 0, 255).astype(np.uint8)
