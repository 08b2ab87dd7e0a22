"""Between the learned pose code and angles: a linear map, fitted where both are known.

The pose code has no meaning of its own (paper, section 3.2: twelve numbers that reconstruction needs). Regressed on
measured features, it can be steered by yaw, pitch and roll, and by `face.head_motion`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.systems.pcavs.official.pose.pose_features import CLOSURE, NUM_TURNS, PLACE_X, PLACE_Y, SIZE

RIDGE = 1e-2


@dataclass(frozen=True, slots=True)
class PoseMap:
    """Changes of the code per unit of what causes them.

    `turns` float32 [P, 3]: per radian of the rotation vector, with the shifts that go with a turning head. `features`
    [P, 8]: per unit of each pose feature, the others unchanged. `units` [8]: a feature's unit (radians, halves of the
    side, logarithm, closure). In weights the three are `pose_map.turns`, `pose_map.facts` and `pose_map.units`.
    """

    turns: np.ndarray
    features: np.ndarray
    units: np.ndarray

    def code(self, pose: np.ndarray, closure: np.ndarray | None, unit: float) -> np.ndarray:
        """Changes of the code [T, P] for motion rows `pose` [T, 6] as in `core.types.Motion` of space mesh478, and eye
        `closure` [T, 1]. `unit`: an inter-ocular distance in halves of the side."""
        place = [PLACE_X, PLACE_Y]
        change = pose[:, :3] @ self.turns.T
        change = change + (pose[:, 3:5] * unit / self.units[place]) @ self.features[:, place].T
        change = change + (pose[:, 5:6] / self.units[SIZE]) @ self.features[:, [SIZE]].T
        if closure is not None:
            change = change + (closure / self.units[CLOSURE]) @ self.features[:, [CLOSURE]].T
        return change.astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """To be saved with the weights."""
        return {"pose_map.turns": self.turns, "pose_map.facts": self.features, "pose_map.units": self.units}

    @staticmethod
    def load(tensors: Mapping[str, np.ndarray]) -> PoseMap | None:
        """The inverse of `tensors`; None if the weights have no map."""
        if "pose_map.turns" not in tensors:
            return None
        return PoseMap(*(tensors[f"pose_map.{name}"].astype(np.float32) for name in ("turns", "facts", "units")))


def regress_pose_map(codes: np.ndarray, features: np.ndarray, units: np.ndarray) -> PoseMap:
    """From codes [N, P] and features [N, 8] of many frames, rows about their person's mean."""
    # angles alone as causes: with a yaw the head also shifts and changes size, as turning heads do
    turns = _regress(codes, features[:, :NUM_TURNS]) / units[:NUM_TURNS]
    return PoseMap(turns.astype(np.float32), _regress(codes, features), units.astype(np.float32))


def _regress(codes: np.ndarray, causes: np.ndarray) -> np.ndarray:
    """[P, D]: ridge regression without intercept."""
    gram = causes.T @ causes / len(causes)
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram, causes.T @ codes / len(causes)).T.astype(np.float32)
