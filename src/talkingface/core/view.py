"""From where an avatar is seen that can be seen from all around. Imports no NumPy: pages and command lines read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from talkingface.core.errors import ArgumentError

MAX_ZOOM = 20.0
MAX_PAN = 10.0
MAX_FOV = math.radians(120)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A camera around the head, relative to the one that filmed the avatar: `View()` sees what that one saw.

    Angles in radians. Positive `yaw` shows the head turned to the viewer's right, `pitch` raised, `roll` leaned
    clockwise, as if it, with neck and shoulders, had turned about its centre while the camera stood still. `zoom`
    enlarges the picture about its centre (2: twice as large); `pan_x` and `pan_y` then shift what is seen right and
    down, in heights of the picture. `fov`: the vertical angle that the picture covers while `zoom` is 1; the camera
    comes nearer as it grows, so that the head keeps its size. None: the renderer's own. `settings`: values by name for
    the renderer's `view_settings`.
    Raises ArgumentError for values that are not finite or out of range.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0
    pan_x: float = 0.0
    pan_y: float = 0.0
    fov: float | None = None
    settings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("yaw", "pitch", "roll"):
            _check(name, getattr(self, name), -2 * math.pi, 2 * math.pi)
        _check("zoom", self.zoom, 1 / MAX_ZOOM, MAX_ZOOM)
        for name in ("pan_x", "pan_y"):
            _check(name, getattr(self, name), -MAX_PAN, MAX_PAN)
        if self.fov is not None:
            _check("fov", self.fov, math.radians(1), MAX_FOV)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSetting:
    """A value that a renderer can be asked for beside the camera, such as the samples along a ray."""

    name: str
    low: float
    high: float
    default: float
    whole: bool = False


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # refuses what is not a number too
        raise ArgumentError(f"{name} of a view must be between {low:.3g} and {high:.3g}, not {value!r}")
