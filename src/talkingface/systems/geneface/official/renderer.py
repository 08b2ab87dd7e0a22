"""The published renderer as a system draws with it: motion in, pictures out, one frame at a time.

The square of the clip that was learned is drawn in the size asked for. The head is a radiance field and can be seen
from all around; the torso is a flat picture that the head's pose moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from talkingface.core.motion import batches
from talkingface.core.pace import PACES
from talkingface.core.types import Controls, Frames, Motion
from talkingface.core.view import View, ViewSetting
from talkingface.face.camera import from_euler_degrees
from talkingface.face.mesh478_motion import pose_of_row
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.pose import Pose
from talkingface.nn.ray_march import box_range
from talkingface.nn.state import part, tensors_of
from talkingface.systems.geneface.config import OfficialConfig
from talkingface.systems.geneface.landmarks3d import centimetres
from talkingface.systems.geneface.official.camera import (
    CENTRE_CM,
    CM_PER_UNIT,
    SCALE,
    Intrinsics,
    Rays,
    field_pose,
    pixel_rays,
    pose_numbers,
)
from talkingface.systems.geneface.official.driving import Range, driven_windows
from talkingface.systems.geneface.official.fast import FastHead
from talkingface.systems.geneface.official.material import FieldView, pose_camera
from talkingface.systems.geneface.official.radnerf import TorsoField
from talkingface.systems.geneface.official.render import SeenHead, draw_torso, mean_torso_density, see_head
from talkingface.systems.geneface.official.render import torso_threshold as threshold_of
from talkingface.video.background import make_background
from talkingface.video.resize import shrink

UNUSED = ("density_grid", "step_counter")
"""Buffers that only training needs: an avatar does not keep them."""
_OPAQUE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialPerson:
    """A fitted person: the field, how it is driven, the square of the clip and the head at rest in it.

    `points` [68, 3]: the landmarks at rest in model units. `head` [3]: corner and side of the head in the view's
    pixels. `plate` uint8 [S, S, 3].
    """

    field: TorsoField
    seen: Range
    view: FieldView
    focal: float
    rest: Pose
    points: np.ndarray
    head: np.ndarray
    plate: np.ndarray
    model: LinearFaceModel
    fast: FastHead | None = None
    """On processors: the same head, drawn with less work."""

    def camera(self, row: np.ndarray | None) -> np.ndarray:
        """The field pose [4, 4] of a motion's pose row [6]; None: at rest."""
        pose = self.rest if row is None else pose_of_row(row, self.rest)
        return field_pose(pose_camera(pose, self.view, self.focal, centimetres(self.model)))

    def landmarks(self, expression: np.ndarray) -> np.ndarray:
        """The 68 points [68, 3] in the field under an expression [E]."""
        moved = self.points + self.model.expression[self.model.landmarks68] @ expression
        off = (moved * centimetres(self.model) - CENTRE_CM) * (SCALE / CM_PER_UNIT) * (1, -1, -1)
        return off[:, [1, 2, 0]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """What is drawn: `size` pixels a side, of which `scale` are a pixel of the view, from the view's (x, y) on."""

    size: int
    scale: float
    x: float
    y: float

    def camera(self, focal: float, view_px: int, view: View | None = None) -> Intrinsics:
        """The camera of the picture, with a view's zoom and shift."""
        zoom = 1.0 if view is None else view.zoom
        pan = (0.0, 0.0) if view is None else (view.pan_x * self.size, view.pan_y * self.size)
        middle = self.size / 2
        centre = [(view_px / 2 - first) * self.scale for first in (self.x, self.y)]
        cx, cy = (middle + zoom * (c - middle) + shift for c, shift in zip(centre, pan, strict=True))
        return Intrinsics(height=self.size, width=self.size, fx=zoom * self.scale * focal,
                          fy=zoom * self.scale * focal, cx=cx, cy=cy)  # fmt: skip


def choose_framing(person: OfficialPerson, controls: Controls) -> Framing:
    """The whole view or the head, in the size of `controls`."""
    view = person.view
    x, y, side = (0.0, 0.0, float(view.side_px)) if controls.crop == "full" else person.head.tolist()
    wanted = side if controls.size is None else side / view.scale if controls.size == "native" else controls.size
    size = max(2, round(float(wanted)))
    return Framing(size=size, scale=size / side, x=x, y=y)


class OfficialRenderer:
    """Draws motion of space mesh478 with a person's fields. Nothing in it changes, so threads may share it."""

    def __init__(self, person: OfficialPerson, controls: Controls, device: str = "cpu") -> None:
        self._person, self._device = person, device
        self._framing = choose_framing(person, controls)
        # live, frames are drawn one by one, and none waits for those after it
        self._batch, self._ahead = PACES[controls.delay].batch, 0 if controls.delay == "low" else None
        self._masked = controls.background == "transparent"
        size = (self._framing.size, self._framing.size)
        self._own = controls.background in ("keep", "transparent")
        plate = self._plate() if self._own else make_background(controls.background, size)
        self._plate_colours = torch.from_numpy(plate).to(device).reshape(-1, 3).float() / 255
        self._threshold = threshold_of(person.field, mean_torso_density(person.field))

    @property
    def view_settings(self) -> tuple[ViewSetting, ...]:
        """See `core.system.ViewableRenderer`."""
        samples = ViewSetting(name="samples", low=1, high=64, default=16, whole=True)
        most = len(self._person.field.individual_embeddings) - 1
        codes = ViewSetting(name="individual code", low=0, high=most, default=0, whole=True)
        return (samples, codes) if most else (samples,)

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`. Conditions are followed from frame 0, pictures drawn from `first` on."""
        poses: list[np.ndarray | None] = []

        def watched() -> Iterator[Motion]:
            for _, motion in batches(motions, self._batch):
                poses.extend([None] * len(motion) if motion.pose is None else list(motion.pose))
                yield motion

        person = self._person
        driven = driven_windows(watched(), person.model, person.seen, person.field.config.smoothed, self._ahead)
        for number, windows in enumerate(driven):
            row = poses[number]
            poses[number] = None
            if number < first:
                continue
            rgb, opacity, _ = self._draw(windows, self._person.camera(row), None)
            mask = (255 * opacity).round().astype(np.uint8)[None] if self._masked else None
            yield Frames(rgb=rgb[None], mask=mask, start=number)

    def draw(
        self, expression: np.ndarray, pose: np.ndarray, closure: float, view: View | None, *, deep: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `core.system.ViewableRenderer`. The torso stays as the clip's camera sees it."""
        person = self._person
        still = Motion(
            space="mesh478",
            expression=np.asarray(expression, np.float32)[None],
            pose=None,
            blink=np.full((1, 1), closure, np.float32),
            fps=25,
        )
        windows = next(driven_windows([still], person.model, person.seen, person.field.config.smoothed))
        rgb, _, depth = self._draw(windows, person.camera(pose), view)
        return rgb, depth

    def landmarks(self, expression: np.ndarray, pose: np.ndarray, view: View | None) -> np.ndarray:
        """See `core.system.ViewableRenderer`."""
        camera, intrinsics = self._seen_from(self._person.camera(pose), view)
        inside = (self._person.landmarks(np.asarray(expression)) - camera[:3, 3]) @ camera[:3, :3]
        centre = (intrinsics.cx, intrinsics.cy)
        return (inside[:, :2] / inside[:, 2:] * intrinsics.fx + centre).astype(np.float32)

    @torch.no_grad()
    def _draw(
        self, windows: np.ndarray, camera: np.ndarray, view: View | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A picture uint8 [S, S, 3], the person's opacity and depth float32 [S, S]."""
        field, size = self._person.field, self._framing.size
        seen_from, intrinsics = self._seen_from(camera, view)
        rays = pixel_rays(torch.from_numpy(seen_from).float().to(self._device), intrinsics)
        rays = replace(rays, background=self._places(view))
        condition = field.encode_condition(torch.from_numpy(windows).to(self._device))
        steps = None if view is None else view.settings.get("samples")
        person = 0 if view is None else int(view.settings.get("individual code", 0))
        code, most = field.individual_embeddings[person], None if steps is None else int(steps)
        fast = self._person.fast
        head = fast.see(rays, condition, code, most) if fast else see_head(field, rays, condition, code, most)
        numbers = torch.from_numpy(pose_numbers(camera[None])[0]).float().to(self._device)
        plate, code = self._plate_colours, field.torso_individual_codes[person]
        behind = draw_torso(field, rays.background, numbers, plate, code, threshold=self._threshold, head=head)
        rgb = (head.over(behind.rgb) * 255).reshape(size, size, 3).to(torch.uint8).cpu().numpy()
        opacity = head.opacity + (1 - head.opacity) * behind.alpha[:, 0]
        depth = self._depth(head, behind.alpha[:, 0], rays, intrinsics) if view is not None else opacity
        opacity = opacity.clamp(0, 1).reshape(size, size)
        return rgb, opacity.cpu().numpy(), depth.reshape(size, size).cpu().numpy()

    def _depth(self, head: SeenHead, torso: Tensor, rays: Rays, intrinsics: Intrinsics) -> Tensor:
        """Pixels from the camera, in those of a head's distance; the torso is taken to be as far away as the head."""
        field = self._person.field
        near, far = box_range(rays.origins, rays.directions, field.aabb_infer, field.config.min_near)
        away = float(rays.origins[0].norm())
        pixels = intrinsics.fx / away
        seen = torch.where(head.opacity > _OPAQUE, (near + head.depth * (far - near)) * pixels, math.inf)
        flat = torch.where(torso > _OPAQUE, torch.full_like(seen, away * pixels), math.inf)
        return torch.minimum(seen, torch.where(torch.isinf(seen), flat, seen))

    def _seen_from(self, camera: np.ndarray, view: View | None) -> tuple[np.ndarray, Intrinsics]:
        person, framing = self._person, self._framing
        if view is None:
            return camera, framing.camera(person.focal, person.view.side_px)
        angles = np.degrees([view.yaw, view.pitch, view.roll])
        turned = np.asarray(from_euler_degrees(angles)) @ camera[:3, :3].T
        centre, focal = -camera[:3, :3].T @ camera[:3, 3], person.focal
        if view.fov is not None:
            focal = person.view.side_px / (2 * math.tan(view.fov / 2))
            centre = centre * (1, 1, focal / person.focal)
        made = np.eye(4)
        made[:3, :3], made[:3, 3] = turned.T, -turned.T @ centre
        return made, framing.camera(focal, person.view.side_px, view)

    def _places(self, view: View | None) -> Tensor:
        """Where the picture's pixels lie in the view that was learned, (row, column) from -1 to 1: [S S, 2]."""
        framing, side = self._framing, self._person.view.side_px
        middle = framing.size / 2
        zoom = 1.0 if view is None else view.zoom
        pan = (0.0, 0.0) if view is None else (view.pan_y * framing.size, view.pan_x * framing.size)
        axes = []
        for first, shift in zip((framing.y, framing.x), pan, strict=True):
            pixel = (torch.arange(framing.size, device=self._device) + 0.5 - middle - shift) / zoom + middle
            axes.append(2 * (pixel / framing.scale + first - 0.5) / (side - 1) - 1)
        rows, columns = torch.meshgrid(*axes, indexing="ij")
        return torch.stack([rows, columns], -1).reshape(-1, 2)

    def _plate(self) -> np.ndarray:
        """The clip's background in the picture."""
        framing = self._framing
        x, y, side = round(framing.x), round(framing.y), round(framing.size / framing.scale)
        return shrink_or_grow(self._person.plate[y : y + side, x : x + side], framing.size)


def shrink_or_grow(rgb: np.ndarray, size: int) -> np.ndarray:
    """A square picture in another size."""
    if rgb.shape[0] >= size:
        return np.array(shrink(rgb, (size, size)), order="C")
    import cv2

    return cv2.resize(rgb, (size, size), interpolation=cv2.INTER_CUBIC)


def load_official(
    config: OfficialConfig, tensors: Mapping[str, np.ndarray], rest: Pose, model: LinearFaceModel, device: str
) -> Callable[[Controls], OfficialRenderer]:
    """What makes renderers of the tensors that `stage.fit_official` gave, for a head that rests as `rest` says in the
    clip. Raises KeyError, ValueError or RuntimeError for other tensors."""
    state = tensors_of(tensors, "field")
    codes = len(state["individual_embeddings"])
    field = TorsoField(replace(config.renderer, codes=codes))
    own = field.state_dict()
    field.load_state_dict({**{name: own[name] for name in UNUSED}, **state})
    x, y, scale, side = tensors["view"].tolist()
    field = field.eval().requires_grad_(False).to(device)
    person = OfficialPerson(
        field=field,
        seen=Range.from_tensors(part(tensors, "range")),
        view=FieldView(x=int(x), y=int(y), scale=scale, side_px=int(side)),
        focal=float(tensors["focal"]),
        rest=rest,
        points=tensors["points"],
        head=tensors["head"],
        plate=tensors["plate"],
        model=model,
        fast=FastHead(field) if device == "cpu" else None,
    )
    return lambda controls: OfficialRenderer(person, controls, device)
