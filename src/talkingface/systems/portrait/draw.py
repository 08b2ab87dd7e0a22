"""Draw a scene in a new pose and expression: the warped person over the resting background."""

from __future__ import annotations

import numpy as np
from numba import njit, types

from talkingface.face.raster import Box, Warper
from talkingface.systems.portrait.scene import Rigid, Scene

_U8_3 = types.Array(types.uint8, 3, "A", readonly=True)


@njit(types.void(_U8_3, _U8_3, types.uint8[:, :, :]), nogil=True, cache=True)
def _over(person, background, out):
    """out = person + background * (1 - alpha), with person premultiplied."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            rest = 255 - np.uint32(person[y, x, 3])
            for c in range(3):
                out[y, x, c] = min(np.uint32(255), person[y, x, c] + (background[y, x, c] * rest + 127) // 255)


class Drawer:
    """Draws one scene again and again into its own buffers; one object a thread."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._warper = Warper(scene.size)
        self._person = np.zeros((scene.size[1], scene.size[0], 4), np.uint8)

    def draw(self, target: np.ndarray, rigid: Rigid, out: np.ndarray, region: Box | None = None) -> np.ndarray:
        """Write the picture for landmarks [478, 3] and head movement into `out` uint8 [H, W, 3].

        Only `region` (x0, y0, x1, y1) is touched when given. Returns the person's opacity uint8 [H, W], valid
        until the next call.
        """
        x0, y0, x1, y1 = region or (0, 0, *self.scene.size)
        self._person[y0:y1, x0:x1] = 0
        vertices, shown = self.scene.pose(target, rigid)
        self._warper.warp(self.scene.person, shown, vertices, self.scene.triangles, self._person, region=region)
        part = np.s_[y0:y1, x0:x1]
        _over(self._person[part], self.scene.background[part], out[part])
        return self._person[..., 3]
