"""The camera of the published viewer, turned, moved and brought nearer with the mouse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import transform

_TURN, _PAN, _ZOOM = 0.01, 0.0001, 1.1
_UP = np.array([1.0, 0.0, 0.0])


def _start() -> transform.Rotation:
    return transform.Rotation.from_matrix([[0, -1, 0], [0, 0, -1], [1, 0, 0]])


@dataclass(slots=True, kw_only=True)
class OrbitCamera:
    """Looks at `centre` from `radius` away, in the axes of field poses; `fov_y` in degrees."""

    width: int
    height: int
    radius: float = 3.35
    fov_y: float = 21.24
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))
    turned: transform.Rotation = field(default_factory=_start)

    @property
    def pose(self) -> np.ndarray:
        """Camera to world, float32 [4, 4]."""
        made = np.eye(4)
        made[:3, :3] = self.turned.as_matrix()
        made[:3, 3] = -self.radius * made[:3, 2] - self.centre
        return made.astype(np.float32)

    @property
    def intrinsics(self) -> np.ndarray:
        """Focal lengths and centre in pixels, [4]."""
        focal = self.height / (2 * math.tan(math.radians(self.fov_y) / 2))
        return np.array([focal, focal, self.width // 2, self.height // 2])

    def orbit(self, dx: float, dy: float) -> None:
        """Turn by a drag of (dx, dy) pixels."""
        side = self.turned.as_matrix()[:, 0]
        turn = transform.Rotation.from_rotvec(_UP * math.radians(-_TURN * dx))
        self.turned = turn * transform.Rotation.from_rotvec(side * math.radians(-_TURN * dy)) * self.turned

    def zoom(self, steps: float) -> None:
        """Come nearer by `steps` of the wheel."""
        self.radius *= _ZOOM**-steps

    def pan(self, dx: float, dy: float, dz: float = 0.0) -> None:
        """Move by a drag of (dx, dy) pixels."""
        self.centre = self.centre + _PAN * self.turned.as_matrix() @ [dx, dy, dz]

    def take_over(self, pose: np.ndarray, intrinsics: np.ndarray) -> None:
        """Look as a camera of the clip does, but at the origin: its distance, its rotation and field of view."""
        self.radius = float(np.linalg.norm(pose[:3, 3]))
        self.turned = transform.Rotation.from_matrix(pose[:3, :3])
        self.fov_y = math.degrees(2 * math.atan2(self.height, 2 * intrinsics[1]))
