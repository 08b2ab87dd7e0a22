"""The person apart from the background: a soft matte, and its colours without fringe."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from talkingface.core.weights import find_weights, load_weights
from talkingface.face.hidden_background import push_pull
from talkingface.face.networks import face_models, see_square, to_input
from talkingface.nn.unet_cpu import CpuNet

NETWORK_PX = 256
GUIDE_EPS = 1e-4
WEIGHTS = "matte.v1"
REFINED_PX, SIDE_STEP = 432, 16
"""Longest side of the picture that the refiner sees, and what its sides are multiples of. It learned from people
filmed at 360 pixels: portraits seen at 512 are a tenth worse."""
SURE, REACH_PX = 0.15, 10
"""How near to 0 or 1 the coarse matte is sure, and how far from doubt and outline it is changed, in its own pixels."""

SURE_COLOUR = (0.05, 0.95)
"""Up to which opacity colours are the background's, and from which the person's."""
CONTRAST = (15.0, 50.0)
"""Distances of both colours, in levels, from which they say something about the opacity, and from which they say it."""
COLOURS_PX = 512
"""Longest side at which both are spread over the outline: they are smooth."""


def person_matte(rgb: np.ndarray) -> np.ndarray:
    """Opacity of people in an upright uint8 picture: float32 [H, W] in [0, 1].

    A network finds people at 256 pixels; a second one, trained on people keyed out before one colour, draws their
    outline at up to `REFINED_PX`; a guided filter takes larger pictures from there, and the colours to either side say
    how sharp the outline is.
    """
    h, w = rgb.shape[:2]
    coarse = coarse_matte(rgb)
    scale = min(1.0, REFINED_PX / max(h, w))
    width, height = (max(SIDE_STEP, round(side * scale / SIDE_STEP) * SIDE_STEP) for side in (w, h))
    size = (width, height)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    planes = refiner_input(small, coarse)
    refined = (planes[0, 4] + _open_part(coarse, size) * CpuNet(_refiner_weights())(planes)[0, 0]).clip(0, 1)
    alpha = refined if size == (w, h) else cv2.resize(refined, (w, h), interpolation=cv2.INTER_LINEAR)
    if scale < 1:
        alpha = cv2.ximgproc.guidedFilter(rgb.astype(np.float32) / 255, alpha, round(2 / scale), GUIDE_EPS).clip(0, 1)
    return matte_by_colour(rgb, alpha)


def matte_by_colour(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The opacity float32 [H, W] where colours tell it: how far the way a pixel is from the background's colours beside
    it to the person's.

    Networks draw outlines softer than they are. Where both colours are alike, or the pixel's lies off the way between
    them, as in patterns, `alpha` [H, W] stays.
    """
    person, background = alpha > SURE_COLOUR[1], alpha < SURE_COLOUR[0]
    if not (person.any() and background.any()):
        return alpha.astype(np.float32)
    open_part = ~(person | background)
    own, behind = (_spread(rgb, known)[open_part] for known in (person, background))
    across, seen = own - behind, rgb[open_part] - behind
    length = np.sqrt(np.maximum((across * across).sum(-1), 1))
    along = (seen * across).sum(-1) / length**2
    aside = np.linalg.norm(seen - along[..., None] * across, axis=-1) / length
    low, high = CONTRAST
    trusted, told = np.ones(alpha.shape, np.float32), person.astype(np.float32)
    trusted[open_part] = np.clip((length - low) / (high - low), 0, 1) * np.clip(2 - 4 * aside, 0, 1)
    told[open_part] = trusted[open_part] * along.clip(0, 1)
    sigma = max(0.7, max(alpha.shape) / 700)
    mean = cv2.GaussianBlur(told, (0, 0), sigma) / (cv2.GaussianBlur(trusted, (0, 0), sigma) + 1e-3)
    return (alpha + open_part * trusted * (mean - alpha)).astype(np.float32)


def _spread(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The colours of the `known` pixels [H, W] spread smoothly over the others: float32 [H, W, 3]."""
    h, w = known.shape
    scale = min(1.0, COLOURS_PX / max(h, w))
    size = (max(8, round(w * scale)), max(8, round(h * scale)))
    share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    masked = cv2.bitwise_and(rgb, rgb, mask=known.astype(np.uint8)).astype(np.float32)
    colours = cv2.resize(masked, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(push_pull(colours / np.maximum(share, 1e-3)[..., None], share > 0.5), (w, h))


def _open_part(coarse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the refiner may change the matte, float32 [H, W] in [0, 1]: near the coarse outline and doubt.

    Deep inside and far outside the coarse network is right more often: it has seen more kinds of people and clothes.
    """
    doubtful = ((coarse > SURE) & (coarse < 1 - SURE)).astype(np.uint8)
    edge = cv2.morphologyEx((coarse > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    side = 2 * REACH_PX + 1
    near = cv2.dilate(np.maximum(doubtful, edge), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return cv2.resize(cv2.GaussianBlur(near.astype(np.float32), (0, 0), REACH_PX / 4), size)


def coarse_matte(rgb: np.ndarray) -> np.ndarray:
    """Opacity of people at the network's own size: float32 [256, 256]."""
    h, w = rgb.shape[:2]
    small = see_square(rgb, np.array([[0, h], [0, 0], [w, 0], [w, h]]), NETWORK_PX)
    network = face_models().networks["matte"]
    coarse = network(to_input(small))[0][0, 0].copy()
    network.forget()  # a photo needs it once
    return coarse


def guided_matte(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """The coarse matte in the picture's size, its edges moved to the picture's own by a guided filter."""
    h, w = rgb.shape[:2]
    radius = max(2, round(max(h, w) / 90))
    guide = rgb.astype(np.float32) / 255
    refined = cv2.ximgproc.guidedFilter(guide, cv2.resize(coarse, (w, h)), radius, GUIDE_EPS)
    # the network is undecided about hair; a steeper ramp keeps thin strands and drops the haze around them
    return np.clip((refined - 0.12) / 0.76, 0, 1).astype(np.float32)


def refiner_input(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """What the refiner sees, float32 [1, 5, H, W] in [0, 1]: the picture, the coarse matte and the guided one.

    What it gives is added to the guided one.
    """
    h, w = rgb.shape[:2]
    mattes = np.stack([cv2.resize(coarse, (w, h)), guided_matte(rgb, coarse)])[None]
    return np.ascontiguousarray(np.concatenate([to_input(rgb), mattes], axis=1))


@functools.cache
def _refiner_weights() -> dict[str, np.ndarray]:
    """The refiner's, read once per process. Raises WeightsError if they are missing or damaged."""
    tensors = load_weights(find_weights(WEIGHTS)).tensors
    return {name: value.astype(np.float32) for name, value in tensors.items()}


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
    return np.clip(push_pull(rgb, alpha > 0.95), 0, 255).astype(np.uint8)
