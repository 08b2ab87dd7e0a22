"""From a photo, or the best frame of a clip, to the tensors of an avatar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from talkingface.core.types import Photo, Track
from talkingface.systems.pcavs.alignment.align import outside, similarity, three_points
from talkingface.systems.pcavs.official.codes import LONGEST_PX
from talkingface.video.resize import shrink, with_longest

if TYPE_CHECKING:
    from talkingface.clips.tracked import TrackedClip

BEYOND_EDGE = 0.12
"""Share of the square beyond the picture's edge from which a note is given."""


@dataclass(frozen=True, slots=True)
class FaceTensors:
    """An avatar's tensors, and sentences for the user."""

    tensors: dict[str, np.ndarray]
    notes: list[str]


def from_photo(photo: Photo, face_index: int | None, size: int | str | None) -> FaceTensors:
    """The face of a photo. Raises FaceError.

    The photo's own transparency is kept: with a transparent background that is where the person is, and nothing is
    guessed. `size` keeps a larger picture, never a smaller one: a crop of that size needs all the detail there is.
    """
    from talkingface.face.search import turn
    from talkingface.face.track import track_image

    rgb = photo.opaque()
    longest = max(rgb.shape[:2])
    limit = longest if size == "native" else max(LONGEST_PX, int(size or 0))
    rgb = np.ascontiguousarray(with_longest(rgb, min(limit, longest)))
    face = track_image(rgb, face_index, turned=True)
    found = _described(face.rgb, face.landmarks, face.num_faces if face_index is None else 1)
    tensors = found.tensors
    if photo.alpha is not None:
        tensors = tensors | {"matte": turn(shrink(photo.alpha, (rgb.shape[1], rgb.shape[0])), face.turns)}
    return FaceTensors(tensors, [*photo.notes, *face.notes, *found.notes])


def from_clip(tracked: TrackedClip, face_index: int | None) -> FaceTensors:
    """The frame of a clip that serves best as a photo, with the face that was followed."""
    from talkingface.clips.tracked import best_frame
    from talkingface.face.detect import detect_faces

    rgb, landmarks = best_frame(tracked, _cost_as_photo(tracked.track))
    found = _described(rgb, landmarks, len(detect_faces(rgb)) if face_index is None else 1)
    gaps = tracked.gap_notes("the pose of the head there is bridged")
    return FaceTensors(found.tensors, [*tracked.notes, *gaps, *found.notes])


def _cost_as_photo(track: Track) -> np.ndarray:
    """How badly each frame [T] would serve as a photo: least with open eyes, the mouth at rest, looking ahead."""
    from talkingface.face.blink import eye_aspect
    from talkingface.face.morphable import fit_track, load_mesh478
    from talkingface.face.mouth_measures import mouth_measures

    open_eyes = eye_aspect(track.landmarks)
    sine_of_yaw = np.abs(fit_track(load_mesh478(), track).rotation[:, 0, 2])
    # a mouth open by a quarter of the eyes' distance costs as much as a head in profile
    rested = 4 * mouth_measures(track.landmarks)[:, 0] + sine_of_yaw
    return rested - open_eyes / max(float(np.percentile(open_eyes, 80)), 1e-6)


def _described(rgb: np.ndarray, landmarks: np.ndarray, num_faces: int) -> FaceTensors:
    from talkingface.face.track import face_notes

    notes = face_notes(landmarks, num_faces)
    matrix = similarity(three_points(landmarks[None]))
    if outside(matrix, (rgb.shape[1], rgb.shape[0])) > BEYOND_EDGE:
        notes.append("the face reaches the edge of the picture; use one with more room, what lies beyond is filled in")
    return FaceTensors({"rgb": rgb, "landmarks": landmarks}, notes)
