"""The record of the motion space `mesh478`, which all systems share that draw with the face mesh.

No NumPy: specs read it.
"""

from __future__ import annotations

from talkingface.core.motion_space import Columns, MotionSpace, Movement

_DEVIATIONS = "standard deviations over talking"

MESH478 = MotionSpace(
    name="mesh478",
    version=2,  # 1: portrait measured poses from videos about another mean, by up to 0.015 eye distances
    expression=(
        Columns(names=tuple(f"mouth {k}" for k in range(1, 17)), unit=_DEVIATIONS, most=100),
        Columns(names=tuple(f"brow {k}" for k in range(1, 5)), unit=_DEVIATIONS, most=100),
    ),
    pose=(
        Columns(names=("turn x", "turn y", "turn z"), unit="radians", most=10),
        Columns(names=("shift x", "shift y"), unit="eye distances", most=100),
        Columns(names=("size",), unit="logarithm", most=10),
    ),
    gaze=True,
    style="talkingface.face.style:styled_motion",
    movements=(
        Movement(column=0, negative="mouth open", positive="mouth shut"),
        Movement(column=1, negative="corners in", positive="smile"),
        Movement(column=2, negative="upper lip raised", positive="lips pursed"),
        Movement(column=3, negative="mouth left", positive="mouth right"),
        Movement(column=4, negative="lips rounded", positive="lips spread"),
        Movement(column=5, negative="chin down", positive="chin up"),
        Movement(column=16, negative="brows raised", positive="brows lowered"),
    ),
    landmarks="talkingface.face.landmarks68:mesh478_landmarks",
)
"""Pose: rotation vector (x right, y down, z away from the viewer), shift of the head, and its size, all relative to the
rest pose. The limits leave room for ten times what people do."""
