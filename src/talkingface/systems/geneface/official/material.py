"""A person's clip as the published fields are trained on it: a square of every frame, its parts, cameras and landmarks.

Nothing is kept in memory for all frames but numbers: pictures are in a stored video, parts in small files beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.core.errors import InputError
from talkingface.core.progress import report_progress
from talkingface.face.blink import eye_closure
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.person_parts import PartFinder, Parts
from talkingface.face.pose import Pose
from talkingface.nn.bisenet import BiSeNet
from talkingface.person.clip import PersonClip
from talkingface.systems.geneface.landmarks3d import centimetres
from talkingface.systems.geneface.official.camera import (
    Intrinsics,
    face_rectangles,
    field_pose,
    focal_of,
    lip_rectangles,
    weak_perspective_camera,
)
from talkingface.systems.geneface.official.driving import Range, motion_landmarks
from talkingface.systems.geneface.official.parsing import (
    background_plate,
    parse_parts,
    torso_picture,
    without_background,
)
from talkingface.training.recipe import make_rng
from talkingface.video.image import write_image
from talkingface.video.stored import KEYFRAME_EVERY, StoredFrames, store_frames

RECORD, VIDEO, PARTS = "field.npz", "view.mp4", "parts"
PLATE_EVERY = 20
"""The background is put together from every so many frames, as published."""
STEPS_OF_GROUP = 4
_LEARNED = 12  # frames whose colours tell hair, skin and clothes apart
_HEADS = 3.5  # of the face's height: the view's side, where the clip is large enough
_FACE_AT = 0.47  # of the view's side: how far down the middle of the face is


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldView:
    """The square of a clip that is learned: its corner `x`, `y` and `scale`, pixels of the view in one of the clip."""

    x: int
    y: int
    scale: float
    side_px: int

    @classmethod
    def choose(cls, landmarks: np.ndarray, size: tuple[int, int], side_px: int) -> FieldView:
        """For points [T, 478, 3] of a clip of `size` (width, height)."""
        points = landmarks[..., :2]
        low, high = (np.median(edge, axis=0) for edge in (points.min(1), points.max(1)))
        width, height = size
        side = int(min(width, height, round(_HEADS * float(high[1] - low[1]))))
        x, y = (low[0] + high[0]) / 2 - side / 2, (low[1] + high[1]) / 2 - _FACE_AT * side
        return cls(
            x=int(np.clip(round(x), 0, width - side)),
            y=int(np.clip(round(y), 0, height - side)),
            scale=side_px / side,
            side_px=side_px,
        )

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """The view of a frame uint8 [H, W, 3]."""
        side = round(self.side_px / self.scale)
        square = rgb[self.y : self.y + side, self.x : self.x + side]
        method = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
        return square if side == self.side_px else cv2.resize(square, (self.side_px,) * 2, interpolation=method)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Pixels of the clip [..., 2] in the view."""
        return (points - (self.x, self.y)) * self.scale

    def camera(self, focal: float) -> Intrinsics:
        """The view's camera."""
        middle = self.side_px / 2
        return Intrinsics(height=self.side_px, width=self.side_px, fx=focal, fy=focal, cx=middle, cy=middle)


def view_cameras(
    rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray, view: FieldView, focal: float, unit_cm: float
) -> np.ndarray:
    """Cameras to world [T, 4, 4] of heads that were tracked in the clip (`weak_perspective_camera`)."""
    placed = view.points(np.asarray(translation, np.float64)[:, :2])
    return weak_perspective_camera(rotation, scale * view.scale, placed, view.camera(focal), unit_cm)


def pose_camera(pose: Pose, view: FieldView, focal: float, unit_cm: float) -> np.ndarray:
    """The same of one pose, [4, 4]."""
    scale = np.array([pose.scale])
    return view_cameras(pose.rotation[None], scale, pose.translation[None], view, focal, unit_cm)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldClip:
    """T frames of a person. `cameras` [T, 4, 4] to world; `landmarks` float32 [T, 204]; `faces` and `lips` int [T, 4]
    are rectangles (`camera.face_rectangles`, `lip_rectangles`); `train` and `test` bool [T] say which frames a
    training may see and which it is judged on; `view` [4] is a `FieldView`'s numbers."""

    folder: Path
    cameras: np.ndarray
    focal: np.ndarray
    landmarks: np.ndarray
    faces: np.ndarray
    lips: np.ndarray
    train: np.ndarray
    test: np.ndarray
    view: np.ndarray
    plate: np.ndarray
    """uint8 [S, S, 3]: the background without the person."""
    samples: np.ndarray
    """float32 [N]: the voice at 16 kHz."""

    @classmethod
    def load(cls, folder: Path) -> FieldClip:
        """What `take_apart` left in a folder. Raises InputError."""
        names = [each.name for each in fields(cls) if each.name != "folder"]
        try:
            with (folder / RECORD).open("rb") as stored, np.load(stored, allow_pickle=False) as found:
                return cls(folder=folder, **{name: found[name] for name in names})
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{folder} holds no clip that was taken apart ({error}); begin with another one"
            ) from error

    def __len__(self) -> int:
        return len(self.cameras)

    @property
    def side_px(self) -> int:
        """Height and width of the view."""
        return self.plate.shape[0]

    @property
    def field_view(self) -> FieldView:
        """The square of the clip."""
        x, y, scale, side = self.view.tolist()
        return FieldView(x=int(x), y=int(y), scale=scale, side_px=int(side))

    @property
    def camera(self) -> Intrinsics:
        """The view's camera."""
        return self.field_view.camera(float(self.focal))

    @property
    def poses(self) -> np.ndarray:
        """The cameras [T, 4, 4] in the field's axes."""
        return field_pose(self.cameras)

    @property
    def range(self) -> Range:
        """How the landmarks move on the frames to train on."""
        return Range.of(self.landmarks[self.train])

    def frames(self) -> StoredFrames:
        """The views, to be read in any order."""
        return StoredFrames(self.folder / VIDEO, (self.side_px, self.side_px))

    def parts(self, number: int) -> Parts:
        """The parts of a frame. Raises InputError."""
        return Parts.of_numbers(_read_parts(self.folder, number))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFrame:
    """One frame as a training sees it, uint8 [S, S, 3]: the person over the clean background, and the torso over it;
    `alpha` bool [S, S] of the torso."""

    real: np.ndarray
    behind: np.ndarray
    alpha: np.ndarray


def training_frame(clip: FieldClip, frames: StoredFrames, number: int) -> TrainingFrame:
    """One of a clip's frames."""
    picture, parts = frames[number], clip.parts(number)
    torso = torso_picture(picture, parts, clip.plate)
    alpha = torso[..., 3] > 0
    return TrainingFrame(
        real=without_background(picture, parts, clip.plate),
        behind=np.where(alpha[..., None], torso[..., :3], clip.plate),
        alpha=alpha,
    )


def frame_of_step(usable: np.ndarray, seed: int, step: int) -> int:
    """The frame that a training shows at a step, of the numbers `usable` (rising): a random one, but for some steps in
    a row of one group of the stored video, which is decoded once for all of them."""
    group = int(make_rng(seed, step // STEPS_OF_GROUP).choice(usable)) // KEYFRAME_EVERY
    return int(make_rng(seed, step).choice(usable[usable // KEYFRAME_EVERY == group]))


def take_apart(
    clip: PersonClip, folder: Path, model: LinearFaceModel, side_px: int, train: np.ndarray, test: np.ndarray,
    parser: BiSeNet | None = None,
) -> FieldClip:  # fmt: skip
    """Store the view, the parts and the numbers of a clip in `folder`, unless they are there.

    Parts are found by `parser` if there is one, or else by `face.person_parts`. `train` and `test` bool [T].
    """
    if (folder / RECORD).is_file():
        return FieldClip.load(folder)
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    seen = clip.track.confidence > 0
    view = FieldView.choose(clip.track.landmarks[train & seen], clip.size, side_px)
    points = view.points(clip.track.landmarks[..., :2].astype(np.float64))
    finder = None if parser else PartFinder.learn(_some(clip, view, points, train & seen))

    def views() -> Iterator[np.ndarray]:
        for number, rgb in enumerate(clip.pictures()):
            report_progress("taking the frames apart", number, len(clip))
            picture = np.ascontiguousarray(view.cut(rgb))
            parts = parse_parts(parser, picture) if parser else None
            if finder is not None:
                parts = finder.find(picture, points[number])
            assert parts is not None
            write_image(_parts_file(folder, number), np.repeat(parts.numbers[..., None], 3, -1))
            yield picture

    store_frames(folder / VIDEO, views(), (side_px, side_px))
    stored = StoredFrames(folder / VIDEO, (side_px, side_px))
    chosen = np.flatnonzero(train & seen)[::PLATE_EVERY].tolist()
    plate = background_plate((stored[n], Parts.of_numbers(_read_parts(folder, n))) for n in chosen)
    unit_cm = centimetres(model)
    focal = focal_of(clip.fit.scale[train & seen] * view.scale, unit_cm)
    points68 = points[:, model.landmarks68]
    made = FieldClip(
        folder=folder,
        cameras=view_cameras(clip.fit.rotation, clip.fit.scale, clip.fit.translation, view, focal, unit_cm),
        focal=np.array(focal),
        landmarks=motion_landmarks(model, clip.fit.expression, eye_closure(clip.track.landmarks)),
        faces=face_rectangles(points68, side_px, side_px),
        lips=lip_rectangles(points68, side_px, side_px),
        train=train & seen,
        test=test & seen,
        view=np.array([view.x, view.y, view.scale, view.side_px], np.float64),
        plate=plate,
        samples=clip.samples.astype(np.float32),
    )
    save_arrays(folder / RECORD, **{e.name: getattr(made, e.name) for e in fields(made) if e.name != "folder"})
    return made


def _some(
    clip: PersonClip, view: FieldView, points: np.ndarray, usable: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    numbers = np.flatnonzero(usable)
    wanted = set(numbers[np.linspace(0, len(numbers) - 1, _LEARNED).astype(int)].tolist())
    for number, rgb in enumerate(clip.pictures()):
        if number in wanted:
            yield np.ascontiguousarray(view.cut(rgb)), points[number]


def _parts_file(folder: Path, number: int) -> Path:
    return folder / PARTS / f"{number:05d}.png"


def _read_parts(folder: Path, number: int) -> np.ndarray:
    found = cv2.imread(str(_parts_file(folder, number)), cv2.IMREAD_GRAYSCALE)
    if found is None:
        raise InputError(f"{_parts_file(folder, number)} is missing or damaged; fit into another folder")
    return found
