"""Face boxes from the short-range detector, and from the full-range one for small faces.

The face mesh alone fits a human face to a dog, and on a whole picture even the short-range detector is half convinced
(score 0.71, a terracotta head 0.78). On a crop around the face they part (0.64 and 0.89). So every box that is not
beyond doubt, or was proposed by another model, has to be confirmed there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.detector import Model, run_detector

CONFIRMED_SCORE = 0.78
CONFIRM_CROP = 2.0  # side of the crop that confirms, in face boxes
MIN_FACE_PX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceBox:
    """An upright box in pixels around brows, cheeks and chin, how far the line of its eyes is turned
    (clockwise as seen), and the detector's score in [0, 1]."""

    x0: float
    y0: float
    x1: float
    y1: float
    turn_rad: float
    score: float

    @property
    def side_px(self) -> float:
        """Length of the longer side."""
        return max(self.x1 - self.x0, self.y1 - self.y0)

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) in pixels."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


def square_crop(rgb: np.ndarray, centre: tuple[float, float], side: float) -> tuple[np.ndarray, tuple[int, int]]:
    """A square of `side` pixels around `centre`, edge pixels repeated outside; also its top-left corner (x, y)."""
    side_px = max(8, round(side))
    x0, y0 = round(centre[0] - side_px / 2), round(centre[1] - side_px / 2)
    h, w = rgb.shape[:2]
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = max(0, x0 + side_px - w), max(0, y0 + side_px - h)
    inner = rgb[max(0, y0) : min(h, y0 + side_px), max(0, x0) : min(w, x0 + side_px)]
    if inner.size == 0:
        return np.zeros((side_px, side_px, 3), np.uint8), (x0, y0)
    if left or top or right or bottom:
        inner = cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(inner), (x0, y0)


def detect_faces(rgb: np.ndarray, *, thorough: bool = True) -> list[FaceBox]:
    """Faces in an upright uint8 RGB picture, largest first. Empty when there is none.

    `thorough` also looks for faces that are small in the picture, at about ten times the cost.
    """
    guesses = _run(rgb, "short_range", (0, 0))
    boxes = [found for g in guesses for found in ([g] if g.score >= CONFIRMED_SCORE else _confirm(rgb, g))]
    if not boxes and thorough:
        boxes = _small_faces(rgb)
    return sorted(distinct(boxes), key=lambda box: -box.side_px)


def _run(rgb: np.ndarray, model: Model, offset: tuple[int, int], min_score: float | None = None) -> list[FaceBox]:
    x, y = offset
    return [
        FaceBox(
            x0=found.box[0] + x, y0=found.box[1] + y, x1=found.box[2] + x, y1=found.box[3] + y,
            turn_rad=found.turn_rad, score=found.score,
        )
        for found in run_detector(rgb, model, min_score)
    ]  # fmt: skip


def _small_faces(rgb: np.ndarray) -> list[FaceBox]:
    """Faces that fill little of the picture: as the full-range detector has them, or the other one in ever smaller
    tiles."""
    found = [box for guess in _run(rgb, "full_range", (0, 0)) for box in _confirm(rgb, guess)]
    h, w = rgb.shape[:2]
    for share in (1.0, 0.5, 0.25):
        tile = int(min(h, w) * share)
        if found or tile < 4 * MIN_FACE_PX:
            break
        for y in np.unique(np.linspace(0, h - tile, max(1, int(np.ceil(1.6 * h / tile)) - 1)).astype(int)):
            for x in np.unique(np.linspace(0, w - tile, max(1, int(np.ceil(1.6 * w / tile)) - 1)).astype(int)):
                part = np.ascontiguousarray(rgb[y : y + tile, x : x + tile])
                guesses = _run(part, "short_range", (int(x), int(y)))
                found += [box for guess in guesses for box in _confirm(rgb, guess)]
    return found


def _confirm(rgb: np.ndarray, guess: FaceBox) -> list[FaceBox]:
    crop, offset = square_crop(rgb, guess.centre, CONFIRM_CROP * guess.side_px)
    sure = [box for box in _run(crop, "short_range", offset) if box.score >= CONFIRMED_SCORE]
    return [box for box in sure if _overlap(box, guess) > 0.2][:1]


def _overlap(a: FaceBox, b: FaceBox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - inner)


def faint_faces(rgb: np.ndarray, min_score: float) -> list[FaceBox]:
    """Whatever either detector takes for a face from `min_score` on, in the picture as a whole."""
    return _run(rgb, "short_range", (0, 0), min_score) + _run(rgb, "full_range", (0, 0), min_score)


def distinct(boxes: list[FaceBox]) -> list[FaceBox]:
    """The best of boxes that overlap."""
    kept: list[FaceBox] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        if all(_overlap(box, other) < 0.3 for other in kept):
            kept.append(box)
    return kept
