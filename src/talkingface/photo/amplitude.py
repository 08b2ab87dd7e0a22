"""How far a photo's lips move in pictures drawn of it, over how far they are asked to; and what makes up for it.

Landmarks of faces unlike those that the tracker knows best (old, dark, bearded, painted) lie beside the lips, and what
moves with them is less than the lips. So a few mouths are drawn, tracked again and compared. On clips whose true frames
are known, gains found like this bring mouths nearer to them where the lips moved too little, and the limits keep a
tracker that sees no lips at all, as in some paintings, from tearing a mouth open.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from talkingface.core.types import Controls, Motion
from talkingface.face.mesh import find_mesh, region_of
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import measure_matrix, mouth_measures
from talkingface.photo.photo_renderer import PhotoRenderer, make_session
from talkingface.photo.refine import Refiner
from talkingface.photo.window import face_square
from talkingface.video.resize import shrink

GAPS, WIDTHS = (0.0, 0.05, 0.09, 0.13), (-0.05, 0.05)
"""Of the mouths that are drawn, in eye distances: how far open, and how far from the width at rest."""
AIM = (1.0, 1.03)  # shares of gap and width that are to be seen
TRUST = (0.75, 1.0)  # exponents of what is missing: gaps in speech miss less than in the probes, above all painted ones
LEAST, MOST = (0.9, 0.95), (1.3, 1.3)
"""Limits of the gains of gap and width."""
SEEN_REACH, SEEN_PX = 2.0, 400
"""What is drawn: a square so many times the face's, at most so large."""


def mouth_gains(tensors: Mapping[str, np.ndarray], refiner: Refiner) -> np.ndarray:
    """Gains float32 [2] of gap and width for a photo (tensors: see `photo_renderer.PARTS`)."""
    small, expression = _smaller(tensors), _probes()
    photo = make_session(small)
    motion = Motion(
        space=MESH478.name, space_version=MESH478.version, expression=expression, pose=None, blink=None, fps=25.0
    )  # fmt: skip
    drawn = PhotoRenderer(photo, refiner, Controls()).frames(iter([motion]))
    found = [_tracked(picture, small["landmarks"]) for piece in drawn for picture in piece.rgb]
    asked = mouth_measures(photo.rig.resting + photo.rig.model.displacement(expression))
    return gains_of(asked[:, :2], mouth_measures(np.stack(found))[:, :2])


def _smaller(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of the photo cut off around the face and made smaller."""
    rgb, points = tensors["rgb"], tensors["landmarks"]
    middle, side = face_square(points)
    reach = SEEN_REACH * side / 2
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach), (rgb.shape[1], rgb.shape[0])).astype(int)
    scale = min(1.0, SEEN_PX / float((high - low).max()))
    size = (max(2, round(float(high[0] - low[0]) * scale)), max(2, round(float(high[1] - low[1]) * scale)))
    moved = np.array([size[0] / (high[0] - low[0]), size[1] / (high[1] - low[1]), scale])
    corner = np.array([low[0], low[1], 0])
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    return {
        "rgb": shrink(np.ascontiguousarray(rgb[part]), size),
        "matte": np.full(size[::-1], 255, np.uint8),  # the head rests: what it hides need not be guessed
        "landmarks": ((points - corner) * moved).astype(np.float32),
        "resting": tensors["resting"],
        "rotation": tensors["rotation"],
        "scale": tensors["scale"] * np.float32(scale),
        "translation": ((tensors["translation"] - corner) * moved).astype(np.float32),
    }


def gains_of(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Gains float32 [2] for measures of gap and width [K, 2] that were asked for and found."""
    apart = asked - asked.mean(0)
    slopes = (apart * found).sum(0) / np.maximum((apart * apart).sum(0), 1e-9)
    return np.clip((np.array(AIM) / np.maximum(slopes, 1e-3)) ** np.array(TRUST), LEAST, MOST).astype(np.float32)


def _tracked(picture: np.ndarray, photo: np.ndarray) -> np.ndarray:
    first = find_mesh(picture, region_of(photo))
    return find_mesh(picture, region_of(first.points)).points


@functools.cache
def _probes() -> np.ndarray:
    """Expressions [K, E] of the mouths that are drawn."""
    model = load_mesh478()
    wanted = np.array([(gap, width) for gap in GAPS for width in WIDTHS])
    rows = np.zeros((len(wanted), model.expression.shape[-1]), np.float32)
    rows[:, : model.num_mouth] = wanted @ np.linalg.pinv(measure_matrix(model)[:2].astype(np.float64)).T
    return rows
