"""From motion to geometry: where the 478 points of a photo's face go."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from talkingface.core.types import NUM_POINTS
from talkingface.face.camera import rotation_matrix
from talkingface.face.eyelids import close_lids
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.face.mouth_measures import measure_matrix
from talkingface.face.topology import skin_triangles
from talkingface.photo.scene import BodyMovement, Rigid, Room, face_unit

MAX_TURN_RAD = 0.42  # the photo holds no more of the head's side than this
MAX_SHIFT = 0.6  # of the head alone, in eye distances: more than that no neck gives
MAX_LOG_SCALE = 0.7  # between half and twice the size
CARRIED_SHIFT, CARRIED_LOG_SCALE = (0.2, 0.5), (0.1, 0.3)
"""From where a shift and a change of size begin to move the body too, and where they wholly do. Heads that sway while
they speak stay below."""
NECK_SHARE = 0.4  # of what the head alone gives, while the body carries it: necks would look too long
SLIVER = 2e-4  # triangles of less area, in squared eye distances, count as edges
UNFOLDING_STEPS = 64
NO_GAINS = np.ones(2, np.float32)
WIDEST = 0.3  # no gain opens a gap further than this, in eye distances


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A face that can be posed.

    `resting` [478, 3] model units; `rotation` [3, 3], `scale` (pixels a unit), `translation` [3] place it in the photo,
    whose own points are `photo` [478, 3].
    """

    model: LinearFaceModel
    photo: np.ndarray
    resting: np.ndarray
    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    gains: np.ndarray = field(default_factory=NO_GAINS.copy)
    """What the mouth's gap and width are multiplied by, so that lips move as far as asked (`amplitude.mouth_gains`)."""
    room: Room | None = None
    """How far the picture lets the whole person move; None: only the head moves."""

    def target(self, expression: np.ndarray, pose: np.ndarray | None, closure: float) -> tuple[np.ndarray, Rigid]:
        """Landmarks [478, 3] in photo pixels and the head movement, for one row of motion (see `core.types.Motion`)."""
        shape = close_lids(self.resting + self.model.displacement(amplified(expression, self.gains)), closure)
        rigid = self.movement(pose)
        rest = self.scale * shape @ self.rotation.T + self.translation
        return rigid(unfold(rest, self.photo)), rigid

    def movement(self, pose: np.ndarray | None) -> Rigid:
        """The head movement of a pose row [6], softly limited to what a photo can show."""
        if pose is None:
            return Rigid(rotation=np.eye(3), scale=1.0, translation=np.zeros(3))
        turn = soft_limit(pose[:3].astype(np.float64), MAX_TURN_RAD)
        wanted = pose[3:5].astype(np.float64)
        shift = self.scale * soft_limit(wanted, MAX_SHIFT)
        log_scale = float(np.clip(pose[5], -MAX_LOG_SCALE, MAX_LOG_SCALE))
        carried = ramp(float(np.linalg.norm(wanted)), *CARRIED_SHIFT)
        growth = log_scale * ramp(abs(log_scale), *CARRIED_LOG_SCALE)
        body = None
        if self.room is not None and (carried or growth):
            reached = self.room.limited(self.scale * wanted)
            body = BodyMovement(
                scale=float(np.exp(growth)), centre=self.translation[:2],
                shift=carried * (reached - NECK_SHARE * shift), room=self.room,
            )  # fmt: skip
            shift = shift * (1 - carried * (1 - NECK_SHARE)) + body.shift
        rotation = np.asarray(rotation_matrix(turn))
        scale = float(np.exp(log_scale))
        centre = self.translation  # the origin of the face model: the head turns about it
        moved = centre + np.array([shift[0], shift[1], 0.0])
        return Rigid(rotation=rotation, scale=scale, translation=moved - scale * rotation @ centre, body=body)


def load_rig(tensors: Mapping[str, np.ndarray]) -> Rig:
    """The rig of an avatar, from its tensors."""
    return Rig(
        model=load_mesh478(),
        photo=tensors["landmarks"].astype(np.float64),
        resting=tensors["resting"].astype(np.float64),
        rotation=tensors["rotation"].astype(np.float64),
        scale=float(tensors["scale"]),
        translation=tensors["translation"].astype(np.float64),
        gains=tensors.get("mouth_gains", NO_GAINS),  # avatars made before moved their lips as asked
    )


def amplified(expression: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """An expression [E] of `mesh478` with the mouth's gap and width times `gains` [2]; the rest of the mouth follows.

    Gaps that are wide anyway grow less.
    """
    if (gains == 1).all():
        return expression
    measures, towards = _gap_and_width()
    mouth = len(towards)
    before = measures @ expression[:mouth]
    more = (gains - 1) * before
    more[0] = np.clip(more[0], -abs(before[0]), max(WIDEST - before[0], 0.0))
    changed = expression.copy()
    changed[:mouth] += towards @ more
    return changed


@functools.cache
def _gap_and_width() -> tuple[np.ndarray, np.ndarray]:
    """How gap and width change per mouth coefficient [2, M], and the likeliest change that makes each one larger."""
    measures = measure_matrix(load_mesh478())[:2].astype(np.float64)
    return measures, np.linalg.pinv(measures)


def folded(points: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Which skin triangles [852] of `points` [478, 3] are flipped in the picture plane against those of `photo`."""
    own, smallest = _areas(photo), SLIVER * face_unit(photo) ** 2
    return (np.abs(own) > smallest) & (_areas(points) * np.sign(own) < -smallest)


def unfold(points: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """`points` with corners of folded triangles drawn towards the movement of their neighbours, until none is folded.

    A face unlike the model's (brows raised in the photo, a painted mouth) can ask for more than its skin allows.
    """
    moved = points - photo
    means, loose = _neighbour_means(), np.zeros(NUM_POINTS, bool)
    for step in range(UNFOLDING_STEPS):
        bad = folded(photo + moved, photo)
        if not bad.any():
            break
        loose[np.unique(skin_triangles()[bad])] = True
        if step % 4 == 3:  # fixed neighbours hold the fold: loosen them too
            loose |= (means[loose] > 0).any(axis=0)
        moved[loose] = means[loose] @ moved
    return photo + moved


@functools.cache
def _neighbour_means() -> np.ndarray:
    """[478, 478]: each row averages the points that share a triangle with its point, itself among them."""
    near = np.eye(NUM_POINTS)
    for triangle in skin_triangles():
        near[np.ix_(triangle, triangle)] = 1
    return near / near.sum(axis=1, keepdims=True)


def _areas(points: np.ndarray) -> np.ndarray:
    """Signed areas of the skin triangles in the picture plane."""
    a, b, c = (points[skin_triangles()[:, k], :2] for k in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (c - a)[:, 0] * (b - a)[:, 1]) / 2


def ramp(value: float, low: float, high: float) -> float:
    """From 0 at `low` to 1 at `high`, without corners."""
    x = min(max((value - low) / (high - low), 0.0), 1.0)
    return x * x * (3 - 2 * x)


def soft_limit(values: np.ndarray, limit: float) -> np.ndarray:
    """The vector with its length kept below `limit`, hardly changed up to half of it."""
    length = float(np.linalg.norm(values))
    return values if length < 1e-9 else values * (limit * np.tanh(length / limit) / length)
