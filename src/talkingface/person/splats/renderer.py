"""Draws a person's splats without torch: what `model` trains, from arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numba import types

from talkingface.core.kernels import kernel
from talkingface.core.motion import batches
from talkingface.core.pace import PACES
from talkingface.core.stream import ordered_map
from talkingface.core.types import Controls, Frames, Motion
from talkingface.core.view import View
from talkingface.face.camera import from_euler_degrees
from talkingface.face.mesh478_motion import RestingHead, pose_of_row
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import load_mesh478
from talkingface.face.pose import Pose, head_box
from talkingface.face.splats import BLUR, REACH, draw_band
from talkingface.face.topology import FACE_68
from talkingface.person.heads import MOST_POSE
from talkingface.person.splats.layout import draw_order, jaw_directions
from talkingface.person.splats.material import (
    FACE_FEATURES,
    FPS,
    MOST_DEVIATIONS,
    in_head,
    matrix_of,
    raw_features,
)
from talkingface.person.splats.shape import (
    BENT,
    BODY_BENT_PX,
    BODY_PX,
    DEPTH_SHARE,
    MOST_OPAQUE,
    MOST_RADIUS,
    PLACE_SHARE,
    STEEP,
    FaceShape,
    lattice_weights,
)
from talkingface.person.splats.stored import unpack
from talkingface.video.background import make_background
from talkingface.video.resize import shrink

LONGEST_PX = 1280
BANDS = 2
"""Of a single picture that someone waits for, each drawn by a thread."""
HIDDEN = np.float32(1 / 256)
"""What lets less than this through hides what is behind."""

_F1, _F2, _F3 = types.float32[::1], types.float32[:, ::1], types.float32[:, :, ::1]


@kernel(
    types.void(
        types.int32[:, ::1], types.int64, _F2, _F2, _F1, _F1, _F2, _F2, _F2, _F2, _F2, _F2, _F1, _F1,
        _F1, types.float32, types.float32, types.int64, _F2, _F2, _F2, _F2, _F1, _F1,
    ),
    error_model="numpy",
)  # fmt: skip
def _place(
    triangles, skin, vertices, at, follow, spacing, drift, bound, head, rest, turn, shape, opacity, pivot,
    shown_at, distance, most, surface, moved, centre, conic, radius, seen, depth,
):  # fmt: skip
    """Where splats are in the picture: fills the last five arrays.

    `moved` [N, 2]: places in the splats' own coordinates; `at` [M, 3] and `bound` [M, 3]: free splats in model units at
    rest and with jaw and gaze; `drift` [M, 2] of the body; `head`, `rest` [3, 4]; `turn` [3, 3] about `pivot` [3],
    which is shown at `shown_at` [2]. `distance` of the camera from there in px, 0: infinite.
    """
    blur = np.float32(BLUR)
    for i in range(len(shape)):
        if i < surface:
            a, b, c = triangles[i, 0], triangles[i, 1], triangles[i, 2]
            u0, u1, u2 = (
                vertices[b, 0] - vertices[a, 0],
                vertices[b, 1] - vertices[a, 1],
                vertices[b, 2] - vertices[a, 2],
            )
            v0, v1, v2 = (
                vertices[c, 0] - vertices[a, 0],
                vertices[c, 1] - vertices[a, 1],
                vertices[c, 2] - vertices[a, 2],
            )
            p, q = moved[i, 0], moved[i, 1]
            x, y, z = (
                vertices[a, 0] + p * u0 + q * v0,
                vertices[a, 1] + p * u1 + q * v1,
                vertices[a, 2] + p * u2 + q * v2,
            )
        else:
            k = i - surface
            w, r, s = follow[k], np.float32(1) - follow[k], spacing[k]
            bx, by, bz = bound[k, 0], bound[k, 1], bound[k, 2]
            ax, ay, az = at[k, 0], at[k, 1], at[k, 2]
            x = w * (head[0, 0] * bx + head[0, 1] * by + head[0, 2] * bz + head[0, 3])
            x += r * (rest[0, 0] * ax + rest[0, 1] * ay + rest[0, 2] * az + rest[0, 3] + drift[k, 0])
            y = w * (head[1, 0] * bx + head[1, 1] * by + head[1, 2] * bz + head[1, 3])
            y += r * (rest[1, 0] * ax + rest[1, 1] * ay + rest[1, 2] * az + rest[1, 3] + drift[k, 1])
            z = w * (head[2, 0] * bx + head[2, 1] * by + head[2, 2] * bz + head[2, 3])
            z += r * (rest[2, 0] * ax + rest[2, 1] * ay + rest[2, 2] * az + rest[2, 3])
            u0, u1, u2 = (
                s * (w * head[0, 0] + r * rest[0, 0]),
                s * (w * head[1, 0] + r * rest[1, 0]),
                s * (w * head[2, 0] + r * rest[2, 0]),
            )
            v0, v1, v2 = (
                s * (w * head[0, 1] + r * rest[0, 1]),
                s * (w * head[1, 1] + r * rest[1, 1]),
                s * (w * head[2, 1] + r * rest[2, 1]),
            )
        x, y, z = x - pivot[0], y - pivot[1], z - pivot[2]
        sx = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z
        sy = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z
        sz = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z
        near = np.float32(1)
        if distance > 0:
            near = distance / max(distance + sz, np.float32(0.1) * distance)
        centre[i, 0], centre[i, 1], depth[i] = near * sx + shown_at[0], near * sy + shown_at[1], sz + pivot[2]
        ux, uy = (
            near * (turn[0, 0] * u0 + turn[0, 1] * u1 + turn[0, 2] * u2),
            near * (turn[1, 0] * u0 + turn[1, 1] * u1 + turn[1, 2] * u2),
        )
        vx, vy = (
            near * (turn[0, 0] * v0 + turn[0, 1] * v1 + turn[0, 2] * v2),
            near * (turn[1, 0] * v0 + turn[1, 1] * v1 + turn[1, 2] * v2),
        )
        l0, l1, l2 = shape[i, 0], shape[i, 1], shape[i, 2]
        fx, fy = ux * l0 + vx * l1, uy * l0 + vy * l1
        gx, gy = vx * l2, vy * l2
        xx, xy, yy = fx * fx + gx * gx, fx * fy + gx * gy, fy * fy + gy * gy
        a2, d2 = xx + blur, yy + blur
        det = a2 * d2 - xy * xy
        conic[i, 0], conic[i, 1], conic[i, 2] = d2 / det, -xy / det, a2 / det
        seen[i] = opacity[i] * np.sqrt(max(xx * yy - xy * xy, np.float32(1e-6)) / det)
        radius[i, 0] = min(np.float32(REACH) * np.sqrt(a2), most)
        radius[i, 1] = min(np.float32(REACH) * np.sqrt(d2), most)
        if i < skin and ux * vy - uy * vx >= 0:  # seen from behind
            radius[i, 0] = -1


@kernel(types.void(_F3, _F2, _F3, types.uint8[:, :, ::1]), fastmath=True)
def _finish(picture, left, ground, out):
    """`picture` [3, H, W] before `ground`, of which `left` [H, W] is seen, as uint8 [H, W, 3]."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for c in range(3):
                value = picture[c, y, x] + left[y, x] * ground[c, y, x]
                out[y, x, c] = np.uint8(
                    min(max(value, np.float32(0)), np.float32(1)) * np.float32(255) + np.float32(0.5)
                )


@dataclass(frozen=True, slots=True)
class _Row:
    """The motion of one frame."""

    features: np.ndarray
    expression: np.ndarray
    pose: np.ndarray
    closure: float
    look: np.ndarray


@dataclass(frozen=True, slots=True)
class _Framing:
    """The part of the canvas that is shown, at which size: shown pixel = (canvas pixel - offset) * factor."""

    offset: np.ndarray
    factor: float
    size: tuple[int, int]

    def pose(self, pose: Pose) -> Pose:
        return pose.moved(self.factor, self.offset)


@dataclass(frozen=True, slots=True)
class _Camera:
    """Shown pixel = `turn` @ (pixel - `pivot`) + `shown_at`, from `distance` px (0: infinite)."""

    turn: np.ndarray
    pivot: np.ndarray
    shown_at: np.ndarray
    distance: np.float32


def _camera(view: View | None, head: np.ndarray, size: tuple[int, int]) -> _Camera:
    """The camera of a view at a picture of `size` whose head is at `head` [3] px."""
    pivot = head.astype(np.float32)
    if view is None:
        return _Camera(np.eye(3, dtype=np.float32), pivot, pivot[:2].copy(), np.float32(0))
    turn = from_euler_degrees(np.degrees([view.yaw, view.pitch, view.roll]))
    middle = np.array(size, np.float32) / 2
    shown_at = middle + view.zoom * (pivot[:2] - middle) + np.array([view.pan_x, view.pan_y], np.float32) * size[1]
    distance = 0.0 if view.fov is None else view.zoom * size[1] / 2 / np.tan(view.fov / 2)
    return _Camera(
        np.ascontiguousarray(view.zoom * turn, dtype=np.float32),
        pivot,
        shown_at.astype(np.float32),
        np.float32(distance),
    )


class SplatPerson:
    """A person's splats as arrays (`person.splats.stored`), ready to be drawn; nothing in it changes."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        found = unpack(tensors)
        self.arrays, self.layout, self.canvas, self.level = found.arrays, found.layout, found.canvas, found.level
        a = self.arrays
        self.neutral, self.rest = a["neutral"], found.rest
        self.mean, self.deviation = a["mean"], a["deviation"]
        model = load_mesh478()
        self.shape = FaceShape.make(model, self.neutral, self.level)
        self.jaw = jaw_directions(model).astype(np.float32)
        self.base_closure, self.base_look = float(a["closure"].item()), a["look"]
        self.opacity = (MOST_OPAQUE / (1 + np.exp(-STEEP * a["opacity"]))).astype(np.float32)
        follow = 1 / (1 + np.exp(-STEEP * a["follow"]))
        self.follow = np.concatenate([np.ones(self.layout.sheets), follow]).astype(np.float32)
        self.plate = found.plate
        at_rest = self.canvas.pose(self.rest).apply(self.layout.home)
        side = round((len(a["body.2.bias"]) / 2) ** 0.5)
        self.around, self.shares = lattice_weights(at_rest[:, :2], self.canvas.size, side)
        count = len(a["opacity"])
        self.moves = np.ascontiguousarray(a["moves"].reshape(count * 5, -1))

    def resting_head(self) -> RestingHead:
        """The landmarks of the head at rest, in pixels of the canvas."""
        return RestingHead(points=self.canvas.pose(self.rest).apply(self.neutral), size=self.canvas.size)

    def basis(self, features: np.ndarray) -> np.ndarray:
        """[B, NUM_FEATURES] -> what moves splats [B, K]."""
        a = self.arrays
        bent = np.tanh(features @ a["bend.0.weight"].T + a["bend.0.bias"]) @ a["bend.2.weight"].T + a["bend.2.bias"]
        return (features @ a["direct"].T + BENT * bent).astype(np.float32)

    def lattice(self, features: np.ndarray) -> np.ndarray:
        """[B, NUM_FEATURES] -> how the body moves at its nodes, pixels of the canvas [B, 2, G * G]."""
        a = self.arrays
        pose = features[:, FACE_FEATURES:]
        hidden = np.tanh(pose @ a["body.0.weight"].T + a["body.0.bias"])
        nodes = BODY_PX * (pose @ a["body_direct"].T) + BODY_BENT_PX * (
            hidden @ a["body.2.weight"].T + a["body.2.bias"]
        )
        return nodes.reshape(len(nodes), 2, -1).astype(np.float32)


def load_splats(tensors: Mapping[str, np.ndarray]) -> Callable[[Controls], SplatRenderer]:
    """What makes renderers of an avatar's tensors. Raises KeyError or ValueError for tensors that are no splats."""
    person = SplatPerson(tensors)
    return lambda controls: SplatRenderer(person, controls)


class SplatRenderer:
    """See `core.system.ViewableRenderer`."""

    def __init__(self, person: SplatPerson, controls: Controls) -> None:
        self._person, self._controls = person, controls
        self._framing = _choose_framing(person, controls)
        self._pace = PACES[controls.delay]
        self._ground = self._behind()
        self._nothing = np.zeros(self._ground.shape[1:], np.float32)

    def _behind(self) -> np.ndarray:
        """The background float32 [3, H, W] in [0, 1]."""
        framing, wanted = self._framing, self._controls.background
        if wanted in ("keep", "transparent"):
            w, h = framing.size
            x, y = framing.offset.astype(int)
            side = (round(w / framing.factor), round(h / framing.factor))
            picture = shrink(np.ascontiguousarray(self._person.plate[y : y + side[1], x : x + side[0]]), framing.size)
        else:
            picture = make_background(wanted, framing.size)
        return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / 255

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`."""
        return ordered_map(self._make, self._batches(motions, first), self._pace.workers)

    def _batches(self, motions: Iterator[Motion], first: int) -> Iterator[tuple[int, list[_Row]]]:
        for start, motion in batches(motions, self._pace.batch):
            rows = self._rows(motion)
            skip = min(max(0, first - start), len(motion))
            if skip < len(motion):
                yield start + skip, rows[skip:]

    def _rows(self, motion: Motion) -> list[_Row]:
        person, count = self._person, len(motion)
        pose = np.zeros((count, 6)) if motion.pose is None else np.clip(motion.pose, -MOST_POSE, MOST_POSE)
        base = person.base_closure
        blink = np.zeros((count, 1)) if motion.blink is None else motion.blink
        closure = base + np.clip(blink, 0, 1) * (1 - base)
        gaze = np.stack([-pose[:, 1], pose[:, 0]], 1) if motion.gaze is None else motion.gaze
        look = person.base_look + in_head(gaze, pose)
        raw = raw_features(motion.expression, closure, look, pose)
        features = np.clip((raw - person.mean) / person.deviation, -MOST_DEVIATIONS, MOST_DEVIATIONS)
        return [_Row(features[k], motion.expression[k], pose[k], float(closure[k, 0]), look[k]) for k in range(count)]

    def _make(self, batch: tuple[int, list[_Row]]) -> Frames:
        start, rows = batch
        drawn = self._draw(rows)
        rgb = np.empty((len(rows), *self._ground.shape[1:], 3), np.uint8)
        mask = np.empty(rgb.shape[:3], np.uint8) if self._controls.background == "transparent" else None
        for k, (picture, left) in enumerate(drawn):
            if mask is not None:
                picture /= np.maximum(1 - left, 1 / 255)  # the person's own colours, without what is behind
                mask[k] = np.round(255 * (1 - left))
                left = self._nothing
            _finish(picture, left, self._ground, rgb[k])
        return Frames(rgb=rgb, mask=mask, start=start)

    def _draw(
        self, rows: list[_Row], view: View | None = None, depth: bool = False, bands: int = 1
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pictures float32 [3, H, W] without background and what is left of that [H, W], one after the other.

        `bands`: parts of each that are drawn at the same time.
        """
        person = self._person
        features = np.stack([row.features for row in rows]).astype(np.float32)
        lattices = person.lattice(features)
        full = np.zeros(
            (self._pace.batch, features.shape[1]), np.float32
        )  # one size, so that no split changes rounding
        full[: len(features)] = features
        moved = (person.moves @ person.basis(full).T).T.reshape(len(full), -1, 5)
        for row, lattice, move in zip(rows, lattices, moved, strict=False):
            yield self._draw_one(row, lattice, move, view, depth, bands)

    def _draw_one(
        self, row: _Row, lattice: np.ndarray, move: np.ndarray, view: View | None, depth: bool, bands: int
    ) -> tuple[np.ndarray, np.ndarray]:
        person, framing = self._person, self._framing
        arrays, layout = person.arrays, person.layout
        n = layout.surface
        pose = framing.pose(person.canvas.pose(pose_of_row(row.pose, person.rest)))
        vertices = pose.apply(person.shape.vertices(row.expression, row.closure)).astype(np.float32)
        colour = 1 / (1 + np.exp(-STEEP * arrays["colour"] - move[:, :3]))
        places = arrays["place"] + PLACE_SHARE * move[:, 3:]
        spacing = layout.spacing
        at = layout.home + np.concatenate([places[n:] * spacing[:, None], DEPTH_SHARE * arrays["depth"][:, None]], 1)
        bound = at + layout.jaw[:, None] * (person.jaw @ row.expression)
        bound[:, :2] += layout.eye[:, None] * person.shape.look(row.look)
        resting = person.canvas.pose(person.rest)
        drift = (lattice[:, person.around] * person.shares).sum(-1).T * np.float32(framing.factor)
        width, height = framing.size
        camera = _camera(view, pose.translation, framing.size)
        count = len(move)
        centre, conic, radius = (np.empty((count, k), np.float32) for k in (2, 3, 2))
        seen, deep = np.empty((2, count), np.float32)
        most = np.float32(MOST_RADIUS * max(width, height) * (1 if view is None else view.zoom))
        _place(
            layout.triangles, layout.skin, vertices, at.astype(np.float32), person.follow, spacing,
            drift.astype(np.float32), bound.astype(np.float32), matrix_of(pose), matrix_of(framing.pose(resting)),
            camera.turn, arrays["shape"], person.opacity, camera.pivot, camera.shown_at, camera.distance, most, n,
            np.ascontiguousarray(places, dtype=np.float32), centre, conic, radius, seen, deep,
        )  # fmt: skip
        order = draw_order(layout, deep)
        left = np.ones((height, width), np.float32)
        values = deep[:, None].copy() if depth else np.ascontiguousarray(colour, dtype=np.float32)
        picture = np.zeros((values.shape[1], height, width), np.float32)

        def draw_rows(rows: tuple[int, int]) -> None:
            draw_band(order, centre, conic, seen, values, radius, left, picture, *rows, HIDDEN)

        edges = np.linspace(0, height, bands + 1).astype(int).tolist()
        for _ in ordered_map(draw_rows, itertools.pairwise(edges), 0 if bands == 1 else bands):
            pass
        return picture, left

    def draw(
        self, expression: np.ndarray, pose: np.ndarray, closure: float, view: View | None, *, deep: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `core.system.ViewableRenderer.draw`."""
        row = self._row(expression, pose, closure)
        picture, left = next(self._draw([row], view, bands=BANDS))
        rgb = np.empty((*left.shape, 3), np.uint8)
        _finish(picture, left, self._ground, rgb)
        if not deep:
            return rgb, np.where(left < 0.5, np.float32(1), np.float32(np.inf))
        total, _ = next(self._draw([row], view, depth=True, bands=BANDS))
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.where(left < 0.5, total[0] / (1 - left), np.inf).astype(np.float32)
        return rgb, depth

    def landmarks(self, expression: np.ndarray, pose: np.ndarray, view: View | None) -> np.ndarray:
        """See `core.system.ViewableRenderer.landmarks`."""
        person = self._person
        row = self._row(expression, pose, 0.0)
        head = self._framing.pose(person.canvas.pose(pose_of_row(row.pose, person.rest)))
        points = head.apply(person.shape.vertices(row.expression, row.closure)[list(FACE_68)])
        camera = _camera(view, head.translation, self._framing.size)
        turned = (points - camera.pivot) @ camera.turn.T
        near = camera.distance / (camera.distance + turned[:, 2:]) if camera.distance > 0 else 1.0
        return (near * turned[:, :2] + camera.shown_at).astype(np.float32)

    def _row(self, expression: np.ndarray, pose: np.ndarray, closure: float) -> _Row:
        motion = Motion(
            space=MESH478.name, expression=np.asarray(expression, np.float32)[None],
            pose=np.asarray(pose, np.float32)[None], blink=np.full((1, 1), np.clip(closure, 0, 1), np.float32), fps=FPS,
        )  # fmt: skip
        return self._rows(motion)[0]


def _choose_framing(person: SplatPerson, controls: Controls) -> _Framing:
    """The whole canvas, or the square that holds the head at rest."""
    box = (0, 0, *person.canvas.size)
    if controls.crop == "head":
        box = head_box(person.resting_head().points, person.canvas.size)
    side = box[2] - box[0], box[3] - box[1]
    longest = max(side) / person.canvas.scale
    wanted = (
        longest if controls.size == "native" else min(longest, LONGEST_PX) if controls.size is None else controls.size
    )
    factor = wanted / max(side)
    width, height = (max(2, round(v * factor)) for v in side)
    return _Framing(np.array(box[:2], np.float64), factor, (width, height))
