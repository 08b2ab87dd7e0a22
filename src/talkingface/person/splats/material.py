"""What splats learn from: a person's frames at one size, and for each the motion that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkingface.core.cache import write_atomic
from talkingface.face.eyelids import lid_closure
from talkingface.face.gaze import gaze_rows
from talkingface.face.matte import person_matte
from talkingface.face.mesh478_motion import mean_pose, pose_rows
from talkingface.face.morphable import FaceFit
from talkingface.face.pose import Pose
from talkingface.person.splats.config import SplatConfig

FPS = 25
MATTE_EVERY = 5
MOST_DEVIATIONS = 3.0
"""Beyond this a feature says no more."""
FACE_FEATURES, NUM_FEATURES = 24, 24 + 6 + 3
"""Those of the face come first (expression, lids and gaze), then those of the head's pose, which the body follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """The pictures that are learned from: `scale` times the clip's, `size` (width, height) even."""

    scale: float
    size: tuple[int, int]

    def pose(self, pose: Pose) -> Pose:
        """A head of the clip's pixels in the canvas."""
        return pose.moved(self.scale, np.zeros(2))


def choose_canvas(size: tuple[int, int], face_px: float, config: SplatConfig) -> Canvas:
    """The canvas for frames of `size` whose face is `face_px` high."""
    scale = min(1.0, config.face_px / face_px, config.longest_px / max(size))
    width, height = (max(2, round(side * scale / 2) * 2) for side in size)
    return Canvas(scale=scale, size=(width, height))


def raw_features(expression: np.ndarray, closure: np.ndarray, look: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """What moves splats, before it is measured by the person's own mean and deviation: float32 [T, NUM_FEATURES].

    `expression` [T, 20], `closure` [T, 1], `look` [T, 2] of the eyes in their head, `pose` [T, 6].
    """
    shut = np.clip(closure, 0, 1)
    turn = pose[:, :2]
    squares = np.stack([turn[:, 0] ** 2, turn[:, 1] ** 2, turn[:, 0] * turn[:, 1]], 1) * 10
    return np.concatenate([expression, closure, shut**2, look, pose, squares], 1).astype(np.float32)


def in_head(gaze: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Where the eyes look as their head sees it, radians [T, 2], from `Motion.gaze` [T, 2] and pose rows [T, 6]."""
    return gaze + np.stack([pose[:, 1], -pose[:, 0]], 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMotion:
    """The motion of a clip of T frames as splats know it.

    `neutral` [478, 3] model units; `rest` in the clip's pixels; the rest as in `raw_features`.
    """

    neutral: np.ndarray
    rest: Pose
    expression: np.ndarray
    closure: np.ndarray
    look: np.ndarray
    pose: np.ndarray

    def features(self) -> np.ndarray:
        """See `raw_features`."""
        return raw_features(self.expression, self.closure, self.look, self.pose)


def person_motion(fit: FaceFit, landmarks: np.ndarray, seen: np.ndarray) -> PersonMotion:
    """The motion of a tracked clip: landmarks [T, 478, 3] and their `fit`; rest is the mean of the frames `seen`."""
    rest = mean_pose(fit.rotation, fit.scale, fit.translation, seen)
    pose = pose_rows(fit.rotation, fit.scale, fit.translation, rest)
    return PersonMotion(
        neutral=fit.neutral,
        rest=rest,
        expression=fit.expression,
        closure=lid_closure(landmarks, fit.neutral)[:, None],
        look=in_head(gaze_rows(landmarks, pose), pose),
        pose=pose,
    )


def pack_frames(file: Path, frames: Iterable[np.ndarray], chosen: np.ndarray, canvas: Canvas) -> None:
    """Write the frames `chosen` (bool [T]) of a clip to `file` at the canvas' size, unless they are there.

    Beside it mattes of every `MATTE_EVERY`-th of them, at half the size (`<file>.mattes.npy`).
    """
    if file.is_file():
        return
    mattes = []
    width, height = canvas.size
    with write_atomic(file, "wb") as out:
        count = 0
        for take, rgb in zip(chosen, frames, strict=False):
            if not take:
                continue
            small = cv2.resize(rgb, canvas.size, interpolation=cv2.INTER_AREA)
            out.write(small.tobytes())
            if count % MATTE_EVERY == 0:
                matte = cv2.resize(person_matte(small), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
                mattes.append(np.round(matte * 255).astype(np.uint8))
            count += 1
        with write_atomic(file.with_suffix(".mattes.npy"), "wb") as other:
            np.save(other, np.stack(mattes))


class PackedFrames:
    """Single frames of a file that `pack_frames` wrote, read when they are asked for; in any thread."""

    def __init__(self, file: Path, canvas: Canvas) -> None:
        self._file, (self._width, self._height) = file, canvas.size
        self.mattes: np.ndarray = np.load(file.with_suffix(".mattes.npy"), allow_pickle=False)

    def __getitem__(self, number: int) -> np.ndarray:
        """Frame `number` uint8 [H, W, 3]."""
        count = self._width * self._height * 3
        flat = np.fromfile(self._file, np.uint8, count, offset=number * count)
        return flat.reshape(self._height, self._width, 3)

    def __len__(self) -> int:
        return self._file.stat().st_size // (self._width * self._height * 3)


def matrix_of(pose: Pose) -> np.ndarray:
    """Model units to pixels, float32 [3, 4]."""
    return np.concatenate([pose.scale * pose.rotation, pose.translation[:, None]], 1).astype(np.float32)
