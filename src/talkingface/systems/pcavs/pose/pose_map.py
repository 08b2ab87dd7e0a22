"""Between the learned pose code and angles that people know: a linear map, found where both are known.

The pose code has no meaning of its own (paper, section 3.2: twelve numbers that reconstruction needs). So that heads
can be steered by yaw, pitch and roll, or by `face.head_motion`, its numbers are regressed on measured facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TURN_UNIT, PLACE_UNIT, SIZE_UNIT, CLOSURE_UNIT = 0.2, 0.12, 0.12, 0.35
"""Units of the pose facts, about a standard deviation: radians; halves of the side; logarithm; closure."""
FACT_UNITS = np.array([TURN_UNIT] * 3 + [PLACE_UNIT] * 2 + [SIZE_UNIT, CLOSURE_UNIT, 1.0], np.float32)
RIDGE = 1e-2
NUM_TURNS = 3
PLACE_X, PLACE_Y, SIZE, CLOSURE = 3, 4, 5, 6
"""Columns of the facts after the rotation vector; see `compact_data.pose_facts`."""


@dataclass(frozen=True, slots=True)
class PoseMap:
    """Changes of the code per unit of what causes them.

    `turns` float32 [P, 3]: per radian of the rotation vector, with the shifts that go with a turning head. `facts`
    [P, 8]: per unit of each pose fact, the others unchanged. `units` [8]: a fact's unit (radians, halves of the side,
    logarithm, closure).
    """

    turns: np.ndarray
    facts: np.ndarray
    units: np.ndarray

    def code(self, pose: np.ndarray, closure: np.ndarray | None, unit: float) -> np.ndarray:
        """Changes of the code [T, P] for motion rows `pose` [T, 6] as in `core.types.Motion` of space mesh478, and eye
        `closure` [T, 1]. `unit`: an inter-ocular distance in halves of the side."""
        change = pose[:, :3] @ self.turns.T
        change = change + (pose[:, 3:5] * unit / self.units[[PLACE_X, PLACE_Y]]) @ self.facts[:, [PLACE_X, PLACE_Y]].T
        change = change + (pose[:, 5:6] / self.units[SIZE]) @ self.facts[:, [SIZE]].T
        if closure is not None:
            change = change + (closure / self.units[CLOSURE]) @ self.facts[:, [CLOSURE]].T
        return change.astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """To be saved with the weights."""
        return {"pose_map.turns": self.turns, "pose_map.facts": self.facts, "pose_map.units": self.units}

    @staticmethod
    def load(tensors: Mapping[str, np.ndarray]) -> PoseMap | None:
        """What `tensors` gave; None if the weights have no map."""
        if "pose_map.turns" not in tensors:
            return None
        parts = (tensors[f"pose_map.{name}"].astype(np.float32) for name in ("turns", "facts", "units"))
        return PoseMap(*parts)


def learn_pose_map(codes: np.ndarray, facts: np.ndarray, units: np.ndarray) -> PoseMap:
    """From codes [N, P] and facts [N, 8] of many frames, rows about their person's mean."""
    turns = _regress(codes, facts[:, :NUM_TURNS]) / units[:NUM_TURNS]
    return PoseMap(turns.astype(np.float32), _regress(codes, facts), units.astype(np.float32))


def _regress(codes: np.ndarray, causes: np.ndarray) -> np.ndarray:
    """[P, D]: ridge regression without intercept."""
    gram = causes.T @ causes / len(causes)
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram, causes.T @ codes / len(causes)).T.astype(np.float32)
