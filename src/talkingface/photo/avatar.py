"""From a photo, or a frame of a clip, to the tensors that `photo_renderer.open_photo` draws from."""

from __future__ import annotations

import numpy as np

from talkingface.clips.tracked import TrackedClip, best_frame
from talkingface.core.types import Photo
from talkingface.face.morphable import fit_photo, load_mesh478
from talkingface.photo.mouth import open_mouth_cost, shows_inside
from talkingface.video.resize import with_longest

DEFAULT_LONGEST_PX = 1280
OPEN_MOUTHS = 6
"""Frames of a clip that are looked at for the inside of the mouth."""


def photo_face(photo: Photo, face_index: int | None, size: int | str | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Tensors of a photo in `size` (see `Controls.size`), and sentences for the user. Takes about a second.

    The photo's own transparency is kept. Raises FaceError.
    """
    from talkingface.face.search import turn
    from talkingface.face.track import face_notes, track_image

    face = track_image(resized(photo.opaque(), size), face_index, turned=True)
    alpha = None if photo.alpha is None else turn(resized(photo.alpha, size), face.turns)
    notes = [*photo.notes, *face.notes, *face_notes(face.landmarks, face.num_faces if face_index is None else 1)]
    return photo_tensors(face.rgb, alpha, face.landmarks), notes


def photo_tensors(rgb: np.ndarray, alpha: np.ndarray | None, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors of a picture uint8 [H, W, 3] with landmarks [478, 3]; `alpha` uint8 [H, W]: None finds the person."""
    from talkingface.face.matte import person_matte

    fit = fit_photo(load_mesh478(), landmarks)
    return {
        "rgb": np.ascontiguousarray(rgb),
        "matte": np.round(255 * person_matte(rgb)).astype(np.uint8) if alpha is None else alpha,
        "landmarks": landmarks,
        "resting": fit.resting,
        "rotation": fit.rotation[0].astype(np.float32),
        "scale": np.array(fit.scale[0], np.float32),
        "translation": fit.translation[0].astype(np.float32),
    }


def cost_as_photo(landmarks: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """How badly each frame [T] of a clip would serve as a photo: least with open eyes and the mouth at rest."""
    from talkingface.face.blink import eye_aspect

    open_eyes = eye_aspect(landmarks)
    return np.abs(expression).mean(1) - open_eyes / max(float(np.percentile(open_eyes, 80)), 1e-6)


def open_mouths(tracked: TrackedClip, fps: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Some frames in which the person's mouth is open, half a second apart: pictures and landmarks."""
    points, near, found = tracked.track.landmarks, round(fps / 2), []
    cost = np.where((tracked.track.confidence > 0) & shows_inside(points), open_mouth_cost(points), np.inf)
    while len(found) < OPEN_MOUTHS and np.isfinite(cost).any():
        found.append(best_frame(tracked, cost))
        best = int(np.argmin(cost))
        cost[max(0, best - near) : best + near + 1] = np.inf
    return found


def longest_side(size: int | str | None) -> int | None:
    """The longest side in pixels that a `Controls.size` allows; None: any."""
    return None if size == "native" else DEFAULT_LONGEST_PX if size is None else int(size)


def resized(picture: np.ndarray, size: int | str | None) -> np.ndarray:
    """`picture` [H, W, ...] in a size as asked for; without one it is only made smaller."""
    longest, wanted = max(picture.shape[:2]), longest_side(size)
    if wanted is None or (size is None and longest <= wanted) or longest == wanted:
        return np.ascontiguousarray(picture)
    return with_longest(picture, wanted)
