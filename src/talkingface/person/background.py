"""Whether the camera of a clip moves: how far what stands behind the person wanders through the picture."""

from __future__ import annotations

import cv2
import numpy as np

from talkingface.face.matte import coarse_matte

STEP = 6  # frames between two looks
_FIND_EVERY = 4  # looks after which people are found anew: they move little beside what is kept away from them
_WIDTH_PX = 320  # at which pictures are compared
_MOST_POINTS, _LEAST_POINTS = 80, 12
_QUALITY, _APART_PX = 0.05, 6
_FREE, _AWAY_PX = 0.05, 13  # opacity of people from which on, and pixels around it, nothing is followed
_WINDOW, _LEVELS = (31, 31), 4  # a quick pan is 40 pixels from look to look
_LEAST_SHARE = 0.6  # of the points that must agree on one movement


class BackgroundWatch:
    """Follows points of the background from look to look; those of the person do not count.

    Their common movement is taken: people who pass by do not move the camera. A background without texture says
    nothing, and counts as standing still.
    """

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._mask: np.ndarray | None = None
        self._looks = 0
        self._path = [np.zeros(4)]
        self._total = np.eye(3)

    def look(self, rgb: np.ndarray, points: np.ndarray) -> None:
        """The next picture uint8 [H, W, 3] and the landmarks [478, 3] in its pixels."""
        factor = min(1.0, _WIDTH_PX / rgb.shape[1])
        size = max(2, round(rgb.shape[1] * factor)), max(2, round(rgb.shape[0] * factor))
        grey = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        height = float(np.ptp(points[:, 1])) * factor
        if self._looks % _FIND_EVERY == 0 or self._mask is None:
            people = (cv2.resize(coarse_matte(rgb), size) > _FREE).astype(np.uint8)
            mask = 255 * (1 - cv2.dilate(people, np.ones((2 * _AWAY_PX + 1,) * 2, np.uint8)))
        else:
            mask = self._mask
        self._looks += 1
        if self._before is not None:
            self._follow(self._before, grey, self._mask, mask, height)
        self._before, self._mask = grey, mask

    def _follow(
        self, before: np.ndarray, after: np.ndarray, free: np.ndarray | None, free_after: np.ndarray, height: float
    ) -> None:
        found = cv2.goodFeaturesToTrack(before, _MOST_POINTS, _QUALITY, _APART_PX, mask=free)
        if found is None or len(found) < _LEAST_POINTS:
            return
        moved, status, _ = cv2.calcOpticalFlowPyrLK(
            before, after, found, np.zeros_like(found), winSize=_WINDOW, maxLevel=_LEVELS
        )
        places = np.rint(moved[:, 0]).astype(int)
        inside = ((places >= 0) & (places < after.shape[::-1])).all(1) & (status[:, 0] > 0)
        inside[inside] = free_after[places[inside, 1], places[inside, 0]] > 0
        if inside.sum() < _LEAST_POINTS:
            return
        matrix, agree = cv2.estimateAffinePartial2D(found[inside], moved[inside], ransacReprojThreshold=1.0)
        if matrix is None or agree.mean() < _LEAST_SHARE:
            return
        self._total = np.vstack([matrix, [0, 0, 1]]) @ self._total
        corners = np.array([[0, 0, 1], [after.shape[1], after.shape[0], 1]], np.float64)
        self._path.append(((self._total @ corners.T)[:2].T - corners[:, :2]).ravel() / max(height, 1.0))

    @property
    def drift(self) -> float:
        """How far the picture's corners wandered over the clip, in heights of the face."""
        return float(np.ptp(np.array(self._path), axis=0).max())
