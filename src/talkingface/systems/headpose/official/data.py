"""What the published generators see: the person's face model, drawn over the source frame in one fixed view.

The original drew a morphable model with its own texture. Here the drawn surface is the refined mesh of 478 points (or
that model, `drawn_face.py`) with the albedo and the light that `face/fit3d.py` found in the clip. The original cut
training pictures out with each frame's own transform and drew at inference in that of frame 0, moved by whole pixels;
here one view, the clip's median one, serves both, and the face is drawn where its camera sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.core.cache import write_atomic
from talkingface.core.progress import tell
from talkingface.core.types import Track
from talkingface.face.camera import Camera
from talkingface.face.fit3d import VideoFit, fit_video, head_shape, lit_colours, place
from talkingface.face.fit_landmarks import HeadFit, is_dense
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.reconstruction_net import ReconstructionNet
from talkingface.systems.headpose.compositing.composite import Pose, look
from talkingface.systems.headpose.fit.preprocess import Material
from talkingface.systems.headpose.official.face import render
from talkingface.systems.headpose.official.face.crop import CROP_PX, crop_picture, fit_crops, five_points
from talkingface.systems.headpose.official.face.identity import thumbnail
from talkingface.systems.headpose.official.face.reconstruction import learned_fit
from talkingface.systems.headpose.official.face.render_model import DrawnFace
from talkingface.video.read import read_frames

MARGIN = 1.08
"""The view holds the face in all frames, and this much more; usually the published crop is larger than that."""
RUN = 10
"""Frames of a long clip are taken in runs of so many: each picture needs the two composites before it."""
HISTORY = 3
_PARTS = ("composites", "truths", "numbers", "thumbs", "faces")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A fixed square of the frame: upper left corner `x`, `y` in frame pixels, view pixels per frame pixel `scale`, and
    its side in view pixels."""

    x: float
    y: float
    scale: float
    side_px: int

    @property
    def matrix(self) -> np.ndarray:
        """Float64 [2, 3] from frame pixels to view pixels, pixel corner at 0."""
        return np.array([[self.scale, 0, -self.scale * self.x], [0, self.scale, -self.scale * self.y]])

    def camera(self, camera: Camera) -> Camera:
        """The frame's camera as it sees the view."""
        centre = (camera.centre_px[0] - self.x) * self.scale, (camera.centre_px[1] - self.y) * self.scale
        return Camera(camera.focal_px * self.scale, centre, (self.side_px, self.side_px))

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """What the view shows of a frame uint8 [H, W, 3]: [S, S, 3]."""
        return look(rgb, self.matrix, self.side_px)

    def row(self) -> np.ndarray:
        """Float64 [4]: x, y, scale, side."""
        return np.array([self.x, self.y, self.scale, self.side_px])

    @classmethod
    def from_row(cls, row: np.ndarray) -> View:
        """The inverse of `row`."""
        return cls(x=float(row[0]), y=float(row[1]), scale=float(row[2]), side_px=int(row[3]))


def choose_view(landmarks: np.ndarray, size: tuple[int, int], side_px: int) -> View:
    """The median of the published crops of all frames (landmarks [T, 478, 3]), wider if a face would leave it."""
    crops = fit_crops(five_points(landmarks), size)
    span = CROP_PX / float(np.median([crop.scale for crop in crops]))
    centre = np.median([crop.origin for crop in crops], axis=0) + span / 2
    low = np.percentile(landmarks[..., :2].min(axis=1), 1, axis=0)
    high = np.percentile(landmarks[..., :2].max(axis=1), 99, axis=0)
    needed = 2 * MARGIN * float(np.abs(np.stack([low, high]) - centre).max())
    span = max(span, needed)
    x, y = centre - span / 2
    return View(x=float(x), y=float(y), scale=side_px / span, side_px=side_px)


class FaceDrawer:
    """Draws the face of a fit over pictures of a view."""

    def __init__(self, fit: VideoFit, face: DrawnFace, view: View) -> None:
        self._fit, self._drawn, self._view = fit, face, view
        self._camera = view.camera(fit.head.camera)

    def over(
        self,
        background: np.ndarray,
        frame: int,
        *,
        change: np.ndarray | None = None,
        move: tuple[Pose, Pose] | None = None,
    ) -> np.ndarray:
        """The composite uint8 [S, S, 3]: the face of a frame over `background`, the mouth's opening black.

        `change` [E] of `mesh478`'s expression is added to the frame's; `move` are the poses in frame pixels
        (`composite.Pose`) between which the head is moved. Identity, albedo, eyes and light are the frame's.
        """
        fit, head, drawn = self._fit, self._fit.head, self._drawn
        expression = head.expression[frame] if change is None else head.expression[frame] + drawn.change(change)
        rotation, translation = head.rotation[frame], head.translation[frame]
        if move is not None:
            rotation, translation = moved_head(rotation, translation, head.camera, *move, pivot=drawn.pivot)
        shape = head_shape(drawn.model, head.neutral, expression, float(fit.closure[frame]))
        points = place(drawn.surface, shape, rotation, translation)
        colours = lit_colours(drawn.surface, points, fit.albedo, fit.light[frame])
        rgba = render.draw(points, colours, drawn.surface.visible, camera=self._camera, far=None)
        return render.blend(background, render.to_uint8(rgba))


def moved_head(
    rotation: np.ndarray,
    translation: np.ndarray,
    camera: Camera,
    own: Pose,
    target: Pose,
    pivot: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation before `camera` after a head that was seen at `own` is seen at `target`.

    `pivot` [3]: the model's point that the poses place; None: its origin.
    """
    pivot = np.zeros(3) if pivot is None else pivot
    turned = target.rotation @ own.rotation.T @ rotation
    before = rotation @ pivot + translation
    depth = before[2] * own.scale / target.scale
    pixels = camera.focal_px * before[:2] / before[2] + (target.translation - own.translation)[:2]
    return turned, np.array([*(pixels * depth / camera.focal_px), depth]) - turned @ pivot


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """N frames to learn from: `composites` and `truths` uint8 [N, S, S, 3], `numbers` [N] ascending in the clip, and
    `thumbs` uint8 [N, G, G, 3] of the true faces (`identity.thumbnail`) or `faces` [N, 112, 112, 3] for ArcFace."""

    composites: np.ndarray
    truths: np.ndarray
    numbers: np.ndarray
    thumbs: np.ndarray
    faces: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def history(self) -> np.ndarray:
        """Rows of the frames t-2, t-1, t for each t, int [N, 3]; where one is not there the next one stands for it."""
        row_of = {int(number): row for row, number in enumerate(self.numbers)}
        rows = np.zeros((len(self), HISTORY), int)
        for row, number in enumerate(self.numbers.tolist()):
            before = row_of.get(number - 1, row)
            rows[row] = row_of.get(number - 2, before), before, row
        return rows


def fit_solid(
    file: Path, material: Material, face: DrawnFace, device: str, net: ReconstructionNet | None = None
) -> VideoFit:
    """The clip's person in three dimensions, as `net` sees it or fitted; kept in `file`."""
    if not file.is_file():
        tell("fitting the face in three dimensions", 0, 1)
        if net is None:
            fit = fit_video(face.model, face.surface, material.track, lambda: _pictures(material), device=device)
        else:
            fit = learned_fit(net, face.model, material.track, _pictures(material))
        with write_atomic(file) as stored:
            still, moving = solid_tensors(fit, face.model)
            np.savez(stored, **still, **moving)  # pyright: ignore[reportArgumentType]
    with file.open("rb") as stored, np.load(stored, allow_pickle=False) as found:
        return solid_from_tensors(face.model, dict(found))


def solid_tensors(fit: VideoFit, model: LinearFaceModel) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A fit as arrays: what stays, and what belongs to its T frames.

    A shape that follows from the model and the identity is left out: it is the model's, which may be licensed.
    """
    head, camera = fit.head, fit.head.camera
    still = {
        "identity": head.identity.astype(np.float32),
        "albedo": fit.albedo.astype(np.float16),
        "camera": np.array([camera.focal_px, *camera.centre_px, *camera.size], np.float64),
    }
    if is_dense(model):  # with what makes this person beyond the model
        still["neutral"] = head.neutral.astype(np.float32)
    moving = {
        "expression": head.expression.astype(np.float32),
        "rotation": head.rotation.astype(np.float32),
        "translation": head.translation.astype(np.float32),
        "closure": fit.closure.astype(np.float32),
        "light": fit.light.astype(np.float32),
    }
    return still, moving


def solid_from_tensors(model: LinearFaceModel, tensors: Mapping[str, np.ndarray]) -> VideoFit:
    """The inverse of `solid_tensors`, both parts in one. Raises KeyError or ValueError for other arrays."""
    focal, x, y, width, height = tensors["camera"].tolist()
    identity = tensors["identity"]
    neutral = tensors["neutral"] if is_dense(model) else model.mean + model.identity @ identity
    head = HeadFit(
        camera=Camera(focal, (x, y), (int(width), int(height))),
        identity=identity,
        neutral=neutral.astype(np.float32),
        expression=tensors["expression"],
        rotation=tensors["rotation"],
        translation=tensors["translation"],
    )
    albedo = tensors["albedo"].astype(np.float32)
    return VideoFit(
        model=model.name,
        head=head,
        closure=tensors["closure"],
        light=tensors["light"],
        albedo=albedo,
        evidence=np.zeros(len(albedo), np.float32),
    )


def make_pairs(
    file: Path, material: Material, drawer: FaceDrawer, view: View, chosen: np.ndarray, most: int, thumb_px: int
) -> Pairs:
    """Composites and truths of the frames in `chosen` bool [T], at most about `most`; kept in `file`."""
    if not file.is_file():
        numbers = in_runs(chosen, most)
        save_pairs(file, draw_pairs(_pictures(material), material.track, drawer, view, numbers, thumb_px))
    return load_pairs(file)


def save_pairs(file: Path, pairs: Pairs) -> None:
    """Write pairs as one .npz without pickles."""
    with write_atomic(file) as stored:
        np.savez(stored, **{name: getattr(pairs, name) for name in _PARTS})


def load_pairs(file: Path) -> Pairs:
    """Read what `save_pairs` wrote. Raises OSError, ValueError or KeyError for anything else."""
    with file.open("rb") as stored, np.load(stored, allow_pickle=False) as found:
        return Pairs(**{name: found[name] for name in _PARTS})


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of several clips as if of one, none of whose frames follows another clip's."""
    first, numbers = 0, []
    for part in parts:
        numbers.append(part.numbers - part.numbers[0] + first)
        first = int(numbers[-1][-1]) + HISTORY
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _PARTS if name != "numbers"}
    return Pairs(numbers=np.concatenate(numbers), **joined)


def in_runs(chosen: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the frames in `chosen`, or of `most` of them in runs of `RUN`, evenly spread."""
    numbers = np.flatnonzero(chosen)
    if len(numbers) <= most:
        return numbers
    runs = np.unique(numbers // RUN)
    kept = runs[np.unique(np.linspace(0, len(runs) - 1, max(1, most // RUN)).astype(int))]
    return numbers[np.isin(numbers // RUN, kept)]


def draw_pairs(
    pictures: Iterable[np.ndarray], track: Track, drawer: FaceDrawer, view: View, numbers: np.ndarray, thumb_px: int
) -> Pairs:
    """Composites and truths of the frames `numbers` (rising) of a clip's `pictures`, followed in `track`."""
    from talkingface.systems.headpose.official.face.arcface import aligned_face

    points = five_points(track.landmarks[numbers])
    crops = fit_crops(points, track.size)
    composites, truths, thumbs, faces = [], [], [], []
    for row, rgb in enumerate(_only(pictures, numbers)):
        tell("drawing the face", row, len(numbers))
        truths.append(view.cut(rgb))
        composites.append(drawer.over(truths[-1], int(numbers[row])))
        thumbs.append(thumbnail(crop_picture(rgb, crops[row]), thumb_px))
        faces.append(aligned_face(rgb, points[row]))
    return Pairs(
        composites=np.stack(composites),
        truths=np.stack(truths),
        numbers=numbers,
        thumbs=np.stack(thumbs),
        faces=np.stack(faces),
    )


def _only(pictures: Iterable[np.ndarray], numbers: np.ndarray) -> Iterator[np.ndarray]:
    wanted = set(numbers.tolist())
    for number, rgb in enumerate(pictures):
        if number in wanted:
            yield rgb
        if number == numbers[-1]:
            return


def _pictures(material: Material) -> Iterator[np.ndarray]:
    width, height = material.size
    return (np.ascontiguousarray(frame.rgb[:height, :width]) for frame in read_frames(material.frames))
