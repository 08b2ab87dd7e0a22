"""Draw a scene in a new pose and expression: the warped person over the resting background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.face.morphable import inner_lip_gap
from talkingface.face.raster import Box, Warper
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER
from talkingface.photo.lids import LidSkin, lid_skin
from talkingface.photo.scene import Rigid, Scene
from talkingface.photo.window import Skin, read_skin

INNER_LIPS = INNER_LIP_UPPER + INNER_LIP_LOWER[-2:0:-1]
SHUT_GAP, OPEN_GAP = 0.02, 0.07  # inner-lip gap over eye distance: the photo's mouth hides, or shows, its inside
MOUTH_TINT = np.array([0.36, 0.2, 0.2])  # colour of the inside of a mouth over that of the skin

_READ = types.Array(types.uint8, 3, "C", readonly=True)
_BOX = types.UniTuple(types.int64, 4)


@kernel(types.void(types.uint32[:, ::1], _READ, _BOX, types.uint8[:, :, ::1]))
def _over(person, background, box, out):
    """out = person + background * (1 - alpha) in `box`, with person (R, G, B, A from below in a word) premultiplied.

    `out` is the background before."""
    for y in range(box[1], box[3]):
        row, behind, words = out[y], background[y], person[y]
        for column in range(box[0], box[2]):
            x = np.uint64(column)
            word = words[x]
            if word == 0:
                continue
            rest = 255 - (word >> 24)
            if rest == 0:
                row[x, 0], row[x, 1], row[x, 2] = word & 255, (word >> 8) & 255, (word >> 16) & 255
                continue
            for c in range(3):
                own = (word >> (8 * c)) & 255
                row[x, c] = min(255, own + (behind[x, c] * rest + 127) // 255)


def showing(scene: Scene) -> np.ndarray:
    """The triangles int32 [F, 3] of `scene` that show something of the person; the others need not be drawn."""
    width, height = scene.size
    total = cv2.integral((scene.person[..., 3] > 0).astype(np.uint8))
    corners = scene.triangles_points[scene.triangles]
    # beyond the picture its border is repeated, so boxes there hold the border
    x0, y0 = np.clip(np.floor(corners.min(1)).astype(int) - 1, 0, (width - 1, height - 1)).T
    x1, y1 = np.clip(np.ceil(corners.max(1)).astype(int) + 1, 1, (width, height)).T
    inside = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
    return np.ascontiguousarray(scene.triangles[inside > 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenMouth:
    """What stands in for the inside of a mouth that the photo shows closed: a dark colour [3], and how much of it."""

    colour: np.ndarray
    share: float

    def fill(self, out: np.ndarray, target: np.ndarray) -> None:
        """Darken the opening between the lips of landmarks `target` [478, 3] in `out` uint8 [H, W, 3], in place.

        A warp can only stretch the line where closed lips meet; the refiner adds teeth and tongue to this instead.
        """
        ring = target[list(INNER_LIPS), :2]
        margin = 2 + 0.05 * float(np.ptp(ring[:, 0]))
        x0, y0 = np.maximum(np.floor(ring.min(0) - margin), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(ring.max(0) + margin), (out.shape[1], out.shape[0])).astype(int)
        if self.share < 0.01 or x1 - x0 < 2 or y1 - y0 < 2:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.float32)
        fixed = np.round((ring - (x0, y0) - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], (self.share,), lineType=cv2.LINE_8, shift=4)
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, margin / 4))[..., None]
        part = out[y0:y1, x0:x1]
        part[:] = np.round(part * (1 - mask) + self.colour * mask)


def hidden_mouth(photo: np.ndarray, points: np.ndarray, skin: Skin | None = None) -> HiddenMouth:
    """From a photo uint8 [H, W, 3] and its landmarks [478, 3], and its `skin` if that has been read."""
    openness = np.clip((float(inner_lip_gap(points)) - SHUT_GAP) / (OPEN_GAP - SHUT_GAP), 0, 1)
    skin = skin or read_skin(photo, points)
    tint = MOUTH_TINT if skin.is_coloured else MOUTH_TINT.mean()
    return HiddenMouth(colour=skin.colour * tint, share=float(1 - openness))


class Drawer:
    """Draws one scene again and again into its own buffers; one object a thread.

    `triangles`: those of `showing`, `lids`: see `lids.lid_skin`; made here unless given.
    """

    def __init__(
        self, scene: Scene, mouth: HiddenMouth, triangles: np.ndarray | None = None, lids: LidSkin | None = None
    ) -> None:
        self.scene = scene
        self._mouth = mouth
        self._warper = Warper(scene.size)
        self._triangles = showing(scene) if triangles is None else triangles
        self._person, self._texture = scene.person.copy(), scene.person.copy()
        self._lids = lid_skin(scene.person, scene.points) if lids is None else lids
        self._closing = np.zeros(2)
        self._rests = True  # outside of the last region the person is as in the photo

    def draw(
        self,
        target: np.ndarray,
        rigid: Rigid,
        out: np.ndarray,
        region: Box | None = None,
        gaze: np.ndarray | None = None,
    ) -> np.ndarray:
        """Write the picture for landmarks [478, 3] and head movement into `out` uint8 [H, W, 3].

        Only `region` (x0, y0, x1, y1) is touched when given: outside of it the person rests. Returns the person's
        opacity uint8 [H, W], valid until the next call.
        """
        x0, y0, x1, y1 = region or (0, 0, *self.scene.size)
        if region is not None and not self._rests:
            self._person[:] = self.scene.person
        self._rests = region is not None
        self._person[y0:y1, x0:x1] = 0
        vertices, shown = self.scene.pose(target, rigid, gaze)
        upright = rigid.inverse(target)
        closing = self.scene.eyes.closing(upright)
        if (closing != self._closing).any():
            self._lids.lay(self._texture, self.scene.person, closing)
            self._closing = closing
        self._warper.warp(self._texture, shown, vertices, self._triangles, self._person, region=region)
        out[y0:y1, x0:x1] = self.scene.background[y0:y1, x0:x1]
        _over(self._person.view(np.uint32)[..., 0], self.scene.background, (x0, y0, x1, y1), out)
        self._mouth.fill(out, target)
        self.scene.eyes.draw_lashes(out, target, upright)
        return self._person[..., 3]
