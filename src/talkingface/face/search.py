"""Faces in a picture, and what is tried before it is refused: turned pictures, and weak detections checked by the mesh.

The detectors find upright faces. On one that lies on its side or upside down they score low, often as a face of
another turn, and they miss drawn ones. The stability of the mesh decides: moved, turned, mirrored or at another
scale it finds the same points of a face (at most 1.5 % of its size apart in 53 portraits), but other points of anything
else (3 % and more for a dog, 2 % for faces upside down; no mesh at all in bottles, rooms and clothes).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from talkingface.face.detect import FaceBox, detect_faces, distinct, faint_faces
from talkingface.face.mesh import Region, find_mesh, region_of, region_of_box
from talkingface.face.morphable import load_mesh478
from talkingface.face.pose import STABLE_POINTS, fit_similarity, undo_similarity

SURE_SCORE = 0.9
"""A detector's score from which nothing else is tried; 51 of 53 portraits reach it."""
MOST_TILT = np.radians(60)
"""A line of the eyes that is turned farther belongs to a picture that lies on its side."""
FIRST_PRESENCE, FIRM_PRESENCE, MOST_MISFIT = 0.9, 0.95, 0.075
MOST_MOVED, MOST_MIRRORED = 0.022, 0.017
"""How far a firm mesh's points lie apart on average, in face sizes, when it looks again elsewhere, and in a mirror."""
_ELSEWHERE = ((0.06, 0.0, 1.0, 0.0), (0.0, 0.06, 1.0, 0.0), (-0.05, -0.05, 1.1, 0.0), (0.0, 0.0, 0.92, 0.15))
_LOWEST_SCORE = 0.3
_UPRIGHT = np.radians(45)


@dataclass(frozen=True, slots=True, kw_only=True)
class FacesFound:
    """`boxes`, largest first, in `rgb`: the picture turned counter-clockwise by `turns` quarters.

    `is_faint`: no detector was sure, the mesh decided.
    """

    rgb: np.ndarray
    turns: int = 0
    boxes: list[FaceBox] = field(default_factory=list)
    is_faint: bool = False


def find_faces(rgb: np.ndarray, *, turned: bool = False, faint: bool = True) -> FacesFound:
    """The faces of a picture uint8 [H, W, 3], which may be `turned` to bring them upright.

    `faint`: take what only the mesh is sure of, too.
    """
    boxes = detect_faces(rgb)
    if boxes and (not turned or _is_upright(rgb, boxes[0])):
        return FacesFound(rgb=rgb, boxes=boxes)
    found = [FacesFound(rgb=turn(rgb, k), turns=k) for k in ((1, 2, 3) if turned else ())]
    best = max((_upright_faces(other) for other in found), key=lambda other: _score(other.boxes), default=None)
    if best is not None and best.boxes:
        return best
    if boxes:
        return FacesFound(rgb=rgb, boxes=boxes)
    for other in (FacesFound(rgb=rgb), *found) if faint else ():
        firm = [box for box in faint_faces(other.rgb, _LOWEST_SCORE) if is_firm(other.rgb, box)]
        if firm:
            largest_first = sorted(distinct(firm), key=lambda box: -box.side_px)
            return FacesFound(rgb=other.rgb, turns=other.turns, boxes=largest_first, is_faint=True)
    return FacesFound(rgb=rgb)


def turn(picture: np.ndarray, turns: int) -> np.ndarray:
    """A picture [H, W, ...] turned counter-clockwise by `turns` quarters."""
    return np.ascontiguousarray(np.rot90(picture, turns))


def is_firm(rgb: np.ndarray, box: FaceBox) -> bool:
    """Whether the mesh finds an upright face in the box, plausible, and the same one wherever it looks from."""
    first = find_mesh(rgb, region_of_box(box))
    if first.presence < FIRST_PRESENCE:
        return False
    mesh = find_mesh(rgb, region_of(first.points))
    region = region_of(mesh.points)
    if mesh.presence < FIRM_PRESENCE or abs(region.turn) > _UPRIGHT or _misfit(mesh.points) > MOST_MISFIT:
        return False
    side = max(float(np.ptp(mesh.points[:, :2], axis=0).max()), 1.0)
    for dx, dy, scale, turned in _ELSEWHERE:
        moved = Region(
            region.x + dx * region.side, region.y + dy * region.side, region.side * scale, region.turn + turned
        )
        if _apart(find_mesh(rgb, moved).points, mesh.points) > MOST_MOVED * side:
            return False
    return _apart(_mirrored(rgb, region), mesh.points) <= MOST_MIRRORED * side


def _is_upright(rgb: np.ndarray, box: FaceBox) -> bool:
    """Whether the picture need not be turned for this face."""
    if box.score >= SURE_SCORE:
        return abs(box.turn_rad) < MOST_TILT
    return is_firm(rgb, box)


def _upright_faces(turned: FacesFound) -> FacesFound:
    """With the faces that are upright in the turned picture, if there are any."""
    boxes = [
        box
        for box in detect_faces(turned.rgb)
        if abs(box.turn_rad) < _UPRIGHT and (box.score >= SURE_SCORE or is_firm(turned.rgb, box))
    ]
    return FacesFound(rgb=turned.rgb, turns=turned.turns, boxes=boxes)


def _score(boxes: list[FaceBox]) -> float:
    return boxes[0].score if boxes else 0.0


def _mirrored(rgb: np.ndarray, region: Region) -> np.ndarray:
    """The points [478, 3] that the mesh finds in the mirrored picture, mirrored back."""
    width = rgb.shape[1]
    mirror = np.ascontiguousarray(rgb[:, ::-1])
    points = find_mesh(mirror, Region(width - region.x, region.y, region.side, -region.turn)).points[_other_side()]
    points[:, 0] = width - points[:, 0]
    return points


def _other_side() -> np.ndarray:
    """Which point is which in a mirror: int [478]."""
    mean = load_mesh478().mean
    return np.argmin(np.square(mean[:, None] * (-1, 1, 1) - mean[None]).sum(-1), axis=1)


def _misfit(points: np.ndarray) -> float:
    """How far a face's stable points lie from the mean face's, in distances between the eyes."""
    mean = load_mesh478().mean
    pose = fit_similarity(mean[STABLE_POINTS], points[STABLE_POINTS])
    upright = undo_similarity(points.astype(np.float64), *pose)
    return float(np.sqrt(np.square(upright - mean)[STABLE_POINTS].sum(-1).mean()))


def _apart(points: np.ndarray, others: np.ndarray) -> float:
    return float(np.linalg.norm(points[:, :2] - others[:, :2], axis=1).mean())
