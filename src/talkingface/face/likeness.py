"""Whether two faces of one video are the same person's, by a coarse comparison of their looks.

This distinguishes the people in a clip after a cut. It identifies no one: hair, clothes and what lies behind count too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.detect import square_crop
from talkingface.video.resize_area import shrink_area

SAME_PERSON = 0.75
"""Most distance of one person's looks. Of 150 people's clips 97 % of pairs of pictures from one clip, and 93 % from two
clips of one person, lie below it, and 5 % of the pairs of two people."""
_EDGES, _COLOURS = 0.76, (40.0, 46.0)  # medians between two people, so that each part counts alike
_SIDE_PX, _THUMB_PX = 64, 8
_HEAD, _FACE, _AROUND = (3.6, 1.5), (2.6, 1.0), (5.2, 2.0)
"""What is looked at: width in distances between the outer eye corners, and how far down the eyes lie in it."""
_OUTER_EYES = (33, 263)
_REACH, _NEAR_PX = 7.0, 256  # width of what is looked at, in distances between the eyes, and in pixels at most


@dataclass(frozen=True, slots=True)
class Look:
    """How a face looks: `edges` float32 [D] of the head, colours in Lab float32 [8, 8, 3] of `face` and `around` it."""

    edges: np.ndarray
    face: np.ndarray
    around: np.ndarray


def look_of(rgb: np.ndarray, points: np.ndarray) -> Look:
    """The look of the face with landmarks `points` [478, 3] in a picture uint8 [H, W, 3]."""
    rgb, eyes = _near(rgb, points[list(_OUTER_EYES), :2].astype(np.float64))
    edges = np.asarray(_edge_descriptor().compute(_upright(rgb, eyes, *_HEAD)), np.float32).ravel()
    thumbs = [
        cv2.resize(_upright(rgb, eyes, *part), (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA)
        for part in (_FACE, _AROUND)
    ]
    face, around = (cv2.cvtColor(thumb, cv2.COLOR_RGB2LAB).astype(np.float32) for thumb in thumbs)
    return Look(edges / max(float(np.linalg.norm(edges)), 1e-6), face, around)


def distance(look: Look, others: Iterable[Look]) -> float:
    """How far `look` is from the nearest of `others`: about 0.3 for one person in one shot, 1 for two people."""
    return min((_apart(look, other) for other in others), default=np.inf)


def _apart(a: Look, b: Look) -> float:
    colours = [
        float(np.sqrt(np.square(x - y).mean())) / usual
        for x, y, usual in zip((a.face, a.around), (b.face, b.around), _COLOURS, strict=True)
    ]
    return (float(np.linalg.norm(a.edges - b.edges)) / _EDGES + sum(colours)) / 3


def _near(rgb: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The area around the `eyes` [2, 2], at most 256 pixels wide, and the eyes in it: the cost has a bound."""
    side = _REACH * max(float(np.hypot(*(eyes[1] - eyes[0]))), 1.0)
    crop, offset = square_crop(rgb, (float(eyes[:, 0].mean()), float(eyes[:, 1].mean())), side)
    scale = min(1.0, _NEAR_PX / len(crop))
    if scale < 1:
        crop = shrink_area(crop, (_NEAR_PX, _NEAR_PX))
    return crop, (eyes - offset) * scale


def _upright(rgb: np.ndarray, eyes: np.ndarray, width: float, down: float) -> np.ndarray:
    """A square [64, 64, 3] around the face, the eyes level, `width` and `down` in distances between the eyes."""
    axis = eyes[1] - eyes[0]
    apart = max(float(np.hypot(*axis)), 1e-6)
    scale = _SIDE_PX / (width * apart)
    c, s = scale * axis / apart
    turn = np.array([[c, s], [-s, c]])
    shift = np.array([_SIDE_PX / 2, _SIDE_PX * down / width]) - turn @ eyes.mean(0)
    if scale < 0.7:  # warpAffine does not filter
        rgb = cv2.GaussianBlur(rgb, (0, 0), 0.4 / scale)
    matrix = np.column_stack([turn, shift])
    return cv2.warpAffine(rgb, matrix, (_SIDE_PX, _SIDE_PX), borderMode=cv2.BORDER_REPLICATE)


@functools.cache
def _edge_descriptor() -> cv2.HOGDescriptor:
    return cv2.HOGDescriptor((_SIDE_PX, _SIDE_PX), (16, 16), (8, 8), (8, 8), 9)
