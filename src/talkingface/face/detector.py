"""Face detectors (Bazarevsky et al. 2019): boxes and six points of every face in a picture, in one look.

The short-range network takes 128 x 128 pixels and finds faces that fill much of the picture; the full-range one at
192 x 192 and finds smaller ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from talkingface.face.networks import face_models, see_square, sigmoid, to_input

Model = Literal["short_range", "full_range"]

MIN_SCORE = {"short_range": 0.5, "full_range": 0.6}
"""As the models were published."""
_GRIDS = {"short_range": ((16, 2), (8, 6)), "full_range": ((48, 1),)}  # anchors: cells a side, boxes a cell
_INPUT_PX = {"short_range": 128, "full_range": 192}
_SAME_FACE = 0.3  # overlap, as share of the union, from which two boxes are one face
_NUM_VALUES = 16  # a box's centre and size, and six points


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """`box` x0, y0, x1, y1 and `points` [6, 2] (right eye, left eye, nose tip, mouth, right ear, left ear; the person's
    own right) in pixels, `score` in [0, 1]."""

    box: tuple[float, ...]
    points: np.ndarray
    score: float

    @property
    def turn_rad(self) -> float:
        """How far the line of the eyes is turned, clockwise as seen."""
        x, y = self.points[1] - self.points[0]
        return float(np.arctan2(y, x))


def run_detector(rgb: np.ndarray, model: Model, min_score: float | None = None) -> list[Detection]:
    """Faces in a picture uint8 [H, W, 3], best first; `min_score` None: the model's own."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    corner = np.array([(side - width) / 2, (side - height) / 2])
    outputs = face_models().networks[model](to_input(_letterbox(rgb, _INPUT_PX[model]), -1.0, 1.0))
    grids = _GRIDS[model]
    values = _rows(outputs[: len(grids)], _NUM_VALUES) / _INPUT_PX[model]
    logits = _rows(outputs[len(grids) :], 1)[:, 0]
    scores = sigmoid(logits)
    chosen = scores >= (MIN_SCORE[model] if min_score is None else min_score)
    anchors = _anchors(grids)[chosen]
    values, scores = values[chosen], scores[chosen]
    points = values[:, 4:].reshape(-1, 6, 2) + anchors[:, None]
    centres, half = values[:, :2] + anchors, values[:, 2:4] / 2
    corners = np.stack([centres - half, centres + half], axis=1)
    places = np.concatenate([corners, points], axis=1) * side - corner
    return [
        Detection(box=tuple(rows[:2].ravel().tolist()), points=rows[2:], score=float(score))
        for rows, score in _merge(places, scores)
    ]


def _letterbox(rgb: np.ndarray, side_px: int) -> np.ndarray:
    """The whole picture in a square of `side_px`, black beside it."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    left, top = (side - width) / 2, (side - height) / 2
    corners = [(-left, side - top), (-left, -top), (side - left, -top), (side - left, side - top)]
    return see_square(rgb, np.array(corners), side_px)


def _rows(outputs: Sequence[np.ndarray], values: int) -> np.ndarray:
    """Network outputs [1, K * values, S, S] as rows [N, values], in the order of the anchors."""
    return np.concatenate([grid.transpose(0, 2, 3, 1).reshape(-1, values) for grid in outputs])


def _anchors(grids: Sequence[tuple[int, int]]) -> np.ndarray:
    """Centres [N, 2] of the anchors, over the picture's side."""
    centres = []
    for cells, boxes in grids:
        x, y = np.meshgrid(*(2 * [(np.arange(cells) + 0.5) / cells]))
        centres.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), boxes, axis=0))
    return np.concatenate(centres)


def _merge(places: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Weighted non-maximum suppression: boxes of one face become their mean, weighted by score.

    `places` [N, 8, 2]: two corners and six points each.
    """
    left, found = np.argsort(-scores, kind="stable"), []
    while len(left):
        same = _overlaps(places[left[0], :2], places[left, :2]) > _SAME_FACE
        group = left[same]
        if not len(group):  # a box without area overlaps not even itself
            group, same[0] = left[:1], True
        weights = scores[group] / scores[group].sum()
        found.append((np.einsum("n,nkd->kd", weights, places[group]), float(scores[left[0]])))
        left = left[~same]
    return found


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of `box` [2, 2] with each of `boxes` [N, 2, 2]."""
    inner = np.prod(np.maximum(np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0]), 0), axis=1)
    areas = np.prod(boxes[:, 1] - boxes[:, 0], axis=1) + np.prod(box[1] - box[0]) - inner
    return inner / np.maximum(areas, 1e-12)
