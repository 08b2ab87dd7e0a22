"""A person in three dimensions from a video: shape, head motion, camera, light and the colours of the skin.

Landmarks come first, all frames at once (`fit_landmarks`). Then some frames, well spread, give the albedo of every
vertex of the drawn surface and the light (`fit_light`); against these every frame is placed again by its colours
(`fit_colours`), and all frames together by one last smooth step. Frames are read twice, one after the other; only small
views of the selected ones are kept.

    fit = fit_video(load_mesh478(), mesh478_surface(), track, lambda: (f.rgb for f in read_frames(path)))
    points = fit.points(model, surface, k)                     # before fit.head.camera
    colours = lit_colours(surface, points, fit.albedo, fit.light[k])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from talkingface.core.errors import InputError
from talkingface.core.types import FaceCoeffs, Track
from talkingface.face.blink import eye_closure
from talkingface.face.camera import rotation_matrix, rotation_vector
from talkingface.face.eyelids import close_lids, lid_closure
from talkingface.face.fit_colours import ColourProblem, Expected, expect, refine_frames
from talkingface.face.fit_landmarks import (
    HeadFit,
    HeadState,
    LandmarkProblem,
    fit_landmarks,
    is_dense,
    smooth_step,
    to_head_fit,
)
from talkingface.face.fit_light import (
    Sighting,
    View,
    fill_unseen,
    frame_light,
    look_at_face,
    sight,
    split_light,
)
from talkingface.face.gaze import gaze_of
from talkingface.face.lighting import shading
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.subdivision import Surface

NUM_SIGHTINGS = 64
MOST_CLOSED = 0.25  # frames with eyes closed farther give no colours
GAZE_SPREAD = 0.02  # eye distances: eyes that look elsewhere do not blur the irises
CHUNK = 16
LIGHT_SMOOTHING_FRAMES = 3.0

Frames = Callable[[], Iterable[np.ndarray]]
"""Starts reading the video again: pictures uint8 [H, W, 3], as many as the track has frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFit:
    """A person's parameters fitted to a video.

    `head`: shape, motion and camera; `closure` float32 [T] of the eyes (`face/eyelids.py`), 0 for models whose
    expression moves the lids; `light` float32 [T, 3, 9] (`face/lighting.py`); `albedo` float32 [V', 3], RGB 0 to 255,
    of the drawn surface, and `evidence` [V'] how much was seen of each vertex.
    """

    model: str
    head: HeadFit
    closure: np.ndarray
    light: np.ndarray
    albedo: np.ndarray
    evidence: np.ndarray

    def __len__(self) -> int:
        return len(self.head)

    def points(self, model: LinearFaceModel, surface: Surface, frame: int) -> np.ndarray:
        """The surface's vertices float32 [V', 3] in a frame, before the camera."""
        head = self.head
        shape = head_shape(model, head.neutral, head.expression[frame], float(self.closure[frame]))
        return place(surface, shape, head.rotation[frame], head.translation[frame])

    def coeffs(self) -> FaceCoeffs:
        """The same as plain coefficients, poses as weak perspective sees them; camera: focal length and centre."""
        head = self.head
        scale = head.camera.focal_px / head.translation[:, 2:]
        pixels = head.translation[:, :2] * scale + head.camera.centre_px
        turns = np.asarray(rotation_vector(head.rotation))
        return FaceCoeffs(
            model=self.model,
            identity=head.identity,
            expression=head.expression,
            pose=np.concatenate([turns, pixels, scale], 1).astype(np.float32),
            lighting=self.light.reshape(len(self), -1),
            camera=np.array([head.camera.focal_px, *head.camera.centre_px], np.float32),
        )


def head_shape(model: LinearFaceModel, neutral: np.ndarray, expression: np.ndarray, closure: float = 0.0) -> np.ndarray:
    """Vertices float32 [V, 3] of a person's face [V, 3] with an expression [E] and its eyes closed by `closure`.

    Only the 478 points have lids that close; in other models expression does that, and `closure` is ignored.
    """
    shape = neutral + model.displacement(expression)
    return (close_lids(shape, closure) if is_dense(model) else shape).astype(np.float32)


def place(surface: Surface, shape: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """A face's surface float32 [V', 3] before the camera, of its model's vertices [V, 3]."""
    return surface.points((shape @ rotation.T + translation).astype(np.float32))


def lit_colours(surface: Surface, points: np.ndarray, albedo: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Colours float32 [V', 3] of an albedo under `light` [3, 9] on the surface at `points` [V', 3]."""
    return albedo * shading(surface.normals(points), light.astype(np.float32))


def fit_video(
    model: LinearFaceModel, surface: Surface, track: Track, frames: Frames, *, device: str = "cpu"
) -> VideoFit:
    """Fit a face model and its drawn surface to a video of one person, followed in `track`.

    Frames of confidence 0 are bridged. Memory grows by some kilobytes a frame. Raises FaceError if no pose fits, and
    InputError if `frames` gives fewer pictures than the track has.

    Example: see the module.
    """
    head, landmarks, state = fit_landmarks(model, track, device=device)
    has_lids = is_dense(model)
    closure = lid_closure(track.landmarks, head.neutral) if has_lids else np.zeros(len(track), np.float32)
    fitter = _Fitter(model, surface, head, closure, landmarks, ColourProblem(model, surface, head.neutral, device))
    state, albedo, light, evidence = fitter.albedo(state, track, frames)
    state, lights, equations = fitter.every_frame(state, track, frames, albedo, light)
    state = smooth_step(landmarks, state, equations)
    return VideoFit(
        model=model.name,
        head=to_head_fit(landmarks, state, head.identity, head.neutral),
        closure=closure,
        light=lights,
        albedo=albedo,
        evidence=evidence,
    )


@dataclass(frozen=True, slots=True)
class _Fitter:
    """The parts of a fit that stay while the frames' states change."""

    model: LinearFaceModel
    surface: Surface
    head: HeadFit
    closure: np.ndarray
    landmarks: LandmarkProblem
    colours: ColourProblem

    def points(self, state: HeadState, frame: int) -> np.ndarray:
        """The surface before the camera."""
        shape = head_shape(
            self.model, self.head.neutral, state.expression[frame].cpu().numpy(), float(self.closure[frame])
        )
        rotation = rotation_matrix(state.turn[frame]).cpu().numpy()
        return place(self.surface, shape, rotation, state.shift[frame].cpu().numpy())

    def albedo(
        self, state: HeadState, track: Track, frames: Frames
    ) -> tuple[HeadState, np.ndarray, np.ndarray, np.ndarray]:
        """Albedo, light and evidence from selected frames, which are placed by their own colours in between."""
        picked = select_frames(track)
        chosen = set(picked)
        views = {
            k: look_at_face(rgb, self.head.camera, self.points(state, k))
            for k, rgb in enumerate(_whole(frames, len(track)))
            if k in chosen
        }
        emphasis = self._emphasis(track, picked)
        sightings = {k: sight(views[k], self.surface, self.points(state, k)) for k in picked}
        albedo, light, _ = split_light(list(sightings.values()), emphasis)
        for start in range(0, len(picked), CHUNK):
            rows = picked[start : start + CHUNK]
            expected = [self._expect(views[k], sightings[k], albedo, light) for k in rows]
            state, _ = self._refine(state, rows, expected)
        sightings = {k: sight(views[k], self.surface, self.points(state, k)) for k in picked}
        albedo, light, evidence = split_light(list(sightings.values()), emphasis)
        return state, fill_unseen(albedo, evidence, self.surface.triangles), light, evidence

    def every_frame(
        self, state: HeadState, track: Track, frames: Frames, albedo: np.ndarray, light: np.ndarray
    ) -> tuple[HeadState, np.ndarray, tuple[torch.Tensor, torch.Tensor]]:
        """All frames placed by their colours: states, lights [T, 3, 9], and the colours' equations at the states."""
        num_frames, size = state.motion.shape
        lights = np.tile(light, (num_frames, 1, 1))
        known = albedo[self.colours.picked]
        matrices, sides = torch.zeros(num_frames, size, size), torch.zeros(num_frames, size)
        rows: list[int] = []
        expected: list[Expected] = []
        for k, rgb in enumerate(_whole(frames, num_frames)):
            if track.confidence[k] > 0:
                points = self.points(state, k)
                view = look_at_face(rgb, self.head.camera, points)
                seen = sight(view, self.surface, points, self.colours.picked)
                lights[k] = frame_light(seen, known, light)
                expected.append(expect(view, seen, known, lights[k]))
                rows.append(k)
            if rows and (len(rows) == CHUNK or k == num_frames - 1):
                state, (matrix, side) = self._refine(state, rows, expected)
                matrices[rows], sides[rows] = matrix.cpu(), side.cpu()
                rows, expected = [], []
        return state, _smooth_light(lights, track.confidence > 0), (matrices, sides)

    def _expect(self, view: View, seen: Sighting, albedo: np.ndarray, light: np.ndarray) -> Expected:
        some = self.colours.picked
        return expect(view, Sighting(seen.colours[some], seen.weights[some], seen.normals[some]), albedo[some], light)

    def _refine(
        self, state: HeadState, rows: list[int], expected: list[Expected]
    ) -> tuple[HeadState, tuple[torch.Tensor, torch.Tensor]]:
        at = torch.tensor(rows, device=state.turn.device)
        part, equations = refine_frames(self.colours, self.landmarks, state, at, expected)
        motion = state.motion.clone()
        motion[at] = part.motion
        return state.moved(motion - state.motion), equations

    def _emphasis(self, track: Track, picked: list[int]) -> np.ndarray:
        """[K, V']: eyes count in frames in which they look where they mostly look."""
        emphasis = np.ones((len(picked), self.surface.num_vertices), np.float32)
        if is_dense(self.model) and len(self.surface.eyes):
            gaze = gaze_of(track.landmarks)
            off = np.linalg.norm(gaze[picked] - np.median(gaze[track.confidence > 0], axis=0), axis=-1).max(-1)
            inner = np.setdiff1d(self.surface.eyes, self.surface.skin)
            emphasis[:, inner] = np.exp(-((off / GAZE_SPREAD) ** 2) / 2)[:, None] + 1e-3
        return emphasis


def select_frames(track: Track, count: int = NUM_SIGHTINGS) -> list[int]:
    """At most `count` frames, well spread, in which the face is seen with open eyes."""
    closure = eye_closure(track.landmarks)[:, 0]
    seen = np.flatnonzero(track.confidence > 0)
    awake = seen[closure[seen] <= max(MOST_CLOSED, float(np.median(closure[seen])))]
    return np.unique(awake[np.linspace(0, len(awake) - 1, min(count, len(awake))).round().astype(int)]).tolist()


def _whole(frames: Frames, count: int) -> Iterator[np.ndarray]:
    """Exactly `count` pictures."""
    number = 0
    for number, rgb in enumerate(frames(), 1):
        yield rgb
        if number == count:
            return
    raise InputError(f"the video gave {number} frames, but {count} were tracked; track the same video again")


def _smooth_light(lights: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Light changes slowly; frames without a face get their neighbours'."""
    from scipy.ndimage import gaussian_filter1d

    at = np.flatnonzero(seen)
    flat = lights.reshape(len(lights), -1)
    bridged = np.stack([np.interp(np.arange(len(flat)), at, column[at]) for column in flat.T], 1)
    smooth = gaussian_filter1d(bridged, LIGHT_SMOOTHING_FRAMES, axis=0, mode="nearest")
    return smooth.reshape(lights.shape).astype(np.float32)
