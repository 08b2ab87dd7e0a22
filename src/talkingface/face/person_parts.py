"""Head, neck, torso and background of a person's frames, from the mesh, the matte and colours; no parsing network.

The face's oval is the head, and so is all that is above it. Below the jaw it is the colours that decide, learned from
the clip itself: of hair above the forehead, of skin on the cheeks, of clothes along the picture's lower edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.matte import person_matte
from talkingface.face.topology import FACE_OVAL

BACKGROUND, HEAD, NECK, TORSO = range(4)
"""Numbers of the parts in a picture of labels."""
OPAQUE = 0.5
_BINS = 12
_REACH = 0.75  # of the face's height below the chin: no neck is longer
_ASIDE = 0.5  # of the face's width to either side of the chin: no neck is wider
_UNDER = 0.35  # of the face's width to either side of the chin: hair does not hang there
_LOBES = 0.5  # of the way from the ears to the chin: as far down ears may be
_ABOVE, _LOWEST = 0.05, 0.12  # of the face's height above the oval, of the picture above its lower edge
_SMOOTH = 0.03  # of the face's width: smaller patches have no colour of their own
_LEFT_EAR, _CHIN, _RIGHT_EAR, _TOP = 234, 152, 454, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a frame, bool [H, W] each; a pixel belongs to one of them at most, the others are background."""

    head: np.ndarray
    neck: np.ndarray
    torso: np.ndarray

    @classmethod
    def of_numbers(cls, numbers: np.ndarray) -> Parts:
        """Of a picture [H, W] of `BACKGROUND`, `HEAD`, `NECK` and `TORSO`."""
        return cls(head=numbers == HEAD, neck=numbers == NECK, torso=numbers == TORSO)

    @property
    def numbers(self) -> np.ndarray:
        """The same as one picture, uint8 [H, W]."""
        return (HEAD * self.head + NECK * self.neck + TORSO * self.torso).astype(np.uint8)

    @property
    def background(self) -> np.ndarray:
        """What belongs to none of them."""
        return ~(self.head | self.neck | self.torso)


class PartFinder:
    """Finds the parts in frames of one clip, after it has seen some of them.

    Example: `finder = PartFinder.learn((rgb, points) for ...); parts = finder.find(rgb, points)`
    """

    def __init__(self, chances: np.ndarray) -> None:
        self._chances = chances
        """float32 [3, B, B, B]: of hair, skin and clothes to have a colour."""

    @classmethod
    def learn(cls, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> PartFinder:
        """Learn a clip's colours of frames uint8 [H, W, 3] with their points [478, 2 or 3]; a dozen is enough."""
        counts = np.zeros((3, _BINS, _BINS, _BINS), np.float32)
        for rgb, points in frames:
            person = person_matte(rgb) > OPAQUE
            for kind, mask in enumerate(_samples(rgb.shape[:2], person, np.asarray(points, np.float32)[:, :2])):
                np.add.at(counts[kind], tuple(_bins(rgb[mask]).T), 1)
        # a colour that was seen makes its neighbours likely, too: light changes with the head's turns
        for kind in range(3):
            for axis in range(3):
                counts[kind] = _spread(counts[kind], axis)
        chances = counts / np.maximum(counts.sum((1, 2, 3), keepdims=True), 1) + 1e-5
        return cls(chances / chances.sum(0))

    def find(self, rgb: np.ndarray, points: np.ndarray) -> Parts:
        """The parts of a frame uint8 [H, W, 3] with its points [478, 2 or 3]."""
        points = np.asarray(points, np.float32)[:, :2]
        person = person_matte(rgb) > OPAQUE
        oval, above, column, under = _regions(rgb.shape[:2], points)
        red, green, blue = np.moveaxis(_bins(rgb), -1, 0)
        chances = np.moveaxis(self._chances[:, red, green, blue], 0, -1)
        blur = max(1.0, _SMOOTH * float(np.linalg.norm(points[_RIGHT_EAR] - points[_LEFT_EAR])))
        hair, skin, cloth = np.moveaxis(cv2.GaussianBlur(chances, (0, 0), blur), -1, 0)
        below = person & ~oval & ~above
        neck = below & column & (skin > cloth) & ((skin > hair) | under)
        hanging = below & ~under & ~neck & (hair > cloth) & (hair > skin)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(blur) + 1,) * 2)
        # thin bridges lead along the collar to dark clothes
        hanging = cv2.morphologyEx(hanging.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
        head = _joined(person & (oval | above | hanging), oval)
        neck = _joined(neck | oval, oval) & ~oval
        return Parts(head=head, neck=neck & ~head, torso=person & ~head & ~neck)


def _regions(size: tuple[int, int], points: np.ndarray) -> tuple[np.ndarray, ...]:
    """The face's oval, what is above the ears' lobes, where a neck may be, and what is right under the chin: bool
    [H, W] each."""
    height, width = size
    oval = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(oval, cv2.convexHull(np.round(points[list(FACE_OVAL)]).astype(np.int32)), 1)
    across = points[_RIGHT_EAR] - points[_LEFT_EAR]
    wide = float(np.linalg.norm(across)) or 1.0
    right = across / wide
    down = np.array([-right[1], right[0]])
    tall = float((points[_CHIN] - points[_TOP]) @ down)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    aside, below = (grid - points[_CHIN]) @ right, (grid - points[_CHIN]) @ down
    ears = float(((points[_LEFT_EAR] + points[_RIGHT_EAR]) / 2 - points[_CHIN]) @ down)
    column = (np.abs(aside) < _ASIDE * wide) & (below < _REACH * tall)
    under = column & (np.abs(aside) < _UNDER * wide)
    return oval > 0, below < ears * (1 - _LOBES), column, under


def _samples(size: tuple[int, int], person: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Pixels that are surely hair, skin and clothes: bool [H, W] each."""
    oval, above, column, _ = _regions(size, points)
    top, chin = points[list(FACE_OVAL)][:, 1].min(), points[list(FACE_OVAL)][:, 1].max()
    rows = np.arange(size[0])[:, None]
    hair = person & above & ~oval & (rows < top - _ABOVE * (chin - top))
    skin = np.zeros(size, np.uint8)
    middle = (points[list(FACE_OVAL)] + points[1]) / 2  # half way to the tip of the nose: cheeks, mouth and brows
    cv2.fillConvexPoly(skin, cv2.convexHull(np.round(middle).astype(np.int32)), 1)
    cloth = person & ~oval & ~above & (rows > (1 - _LOWEST) * size[0])
    beside = person & ~oval & ~above & ~column & (rows > chin)
    return [hair, person & (skin > 0), cloth | beside]


def _joined(mask: np.ndarray, core: np.ndarray) -> np.ndarray:
    """The connected pieces of a mask that touch `core`."""
    numbers = np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1], np.int64)
    kept = np.zeros(int(numbers.max()) + 1, bool)
    kept[np.unique(numbers[core & mask])] = True
    kept[0] = False
    return kept[numbers]


def _bins(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.int64) * _BINS // 256


def _spread(counts: np.ndarray, axis: int) -> np.ndarray:
    """Half of the neighbours' counts added."""
    padded = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)])
    lower, upper = (np.take(padded, np.arange(_BINS) + k, axis=axis) for k in (0, 2))
    return counts + 0.5 * (lower + upper)
