"""`portrait`: a photo's own pixels, moved by speech. Needs no training, no GPU and no download."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from talkingface.core.errors import InputError, UsageError
from talkingface.core.motion import skip_frames
from talkingface.core.progress import tell
from talkingface.core.spec import SystemSpec
from talkingface.core.system import System, Weights
from talkingface.core.types import Avatar, Controls, Frames, Motion, Track
from talkingface.face.camera import from_euler_degrees, rotation_vector
from talkingface.face.morphable import fit_photo, fit_track, load_mesh478
from talkingface.face.track import smooth_track
from talkingface.photo.config import RefinerConfig
from talkingface.photo.refine import NoRefiner, Refiner
from talkingface.photo.rig import load_rig
from talkingface.systems.portrait import SPEC
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.systems.portrait.init_weights import init_tensors
from talkingface.video.resize import shrink

DEFAULT_LONGEST_PX = 1280
SMALL_FACE_PX = 96


class PortraitSystem(System):
    """The sixth system of the toolkit. See docs/systems/portrait.md."""

    SPEC: ClassVar[SystemSpec] = SPEC

    def __init__(self, weights: Weights | None, config: PortraitConfig, device: str = "cpu") -> None:
        super().__init__(weights, config, device)
        self._tensors: dict[str, np.ndarray] = init_tensors(config.mouth) if weights is None else weights.tensors
        self._speech: Any = None

    @functools.cached_property
    def refiner(self) -> Refiner:
        """The refiner, made on first use: driving data alone does not need it."""
        if self.config.refiner is None:
            return NoRefiner(RefinerConfig())
        return Refiner(self._tensors, self.config.refiner, self.device)

    def fit(
        self,
        source: str | Path | np.ndarray,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """See `System.fit`. A photo takes about a second; a clip is tracked once and its track is cached."""
        if isinstance(source, np.ndarray):
            return self._fit_photo(source, None, face_index, size)
        from talkingface.video.image import is_image, read_image

        if is_image(source):
            picture = read_image(source)
            return self._fit_photo(picture.opaque(), picture.alpha, face_index, size)
        return self._fit_clip(Path(source), face_index, size)

    def _fit_photo(
        self, rgb: np.ndarray, alpha: np.ndarray | None, face_index: int | None, size: int | str | None
    ) -> Avatar:
        from talkingface.face.track import track_image

        rgb, alpha = _resized(rgb, size), None if alpha is None else _resized(alpha, size)
        face = track_image(rgb, face_index)
        notes = _notes(face.num_faces, face_index, face.landmarks)
        tensors = _photo_tensors(rgb, alpha, face.landmarks)
        return Avatar(system=SPEC.name, card=self._card("photo", notes), tensors=tensors)

    def _fit_clip(self, path: Path, face_index: int | None, size: int | str | None) -> Avatar:
        from talkingface.video.read import probe

        fps = float(probe(path).fps)
        lost: list[str] = []
        track = _track_clip(path, fps, _longest(size), face_index, lost)
        fit = fit_track(load_mesh478(), smooth_track(track))
        rgb, landmarks = _best_frame(path, fps, _longest(size), track, fit.expression)
        tensors = {
            **_photo_tensors(rgb, None, landmarks),
            "clip.landmarks": track.landmarks,
            "clip.expression": fit.expression,
            "clip.rotation": fit.rotation.astype(np.float32),
            "clip.scale": fit.scale.astype(np.float32),
        }
        gaps = int((track.confidence == 0).sum())
        notes = lost + ([f"the face was not seen in {gaps} of {len(track)} frames; they were bridged"] if gaps else [])
        card = {**self._card("clip", notes), "fps": fps, "longest_px": _longest(size) or 0}
        return Avatar(system=SPEC.name, card=card, tensors=tensors, files={"clip": path.resolve()})

    def _card(self, kind: str, notes: list[str]) -> dict[str, object]:
        weights = "" if self.weights is None else self.weights.card.get("name", "")
        return {"system": SPEC.name, "kind": kind, "weights": weights, "notes": notes}

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """See `System.motion_from_audio`. The motion does not depend on the avatar."""
        if self._speech is None:
            from talkingface.systems.portrait.motion.speech import SpeechToMotion

            self._speech = SpeechToMotion(self._tensors, self.config.mouth)
        return self._speech.stream(pieces, controls)

    def motion_from_video(self, avatar: Avatar | None, path: str | Path, controls: Controls) -> Iterator[Motion]:
        """See `System.motion_from_video`. Head pose is relative to the driver's mean pose."""
        from talkingface.face.blink import eye_closure
        from talkingface.video.image import is_image

        if is_image(path):
            raise InputError(
                f"{path} is a photo, which holds no motion; give a video or a folder of its pictures, "
                "or for a held head a CSV of angles"
            )
        model = load_mesh478()
        track = smooth_track(_track_clip(Path(path), SPEC.fps, DEFAULT_LONGEST_PX, None, []))
        fit = fit_track(model, track)
        yield Motion(
            space=SPEC.motion_space,
            expression=(fit.expression * controls.expression_scale).astype(np.float32),
            pose=_relative_pose(fit.rotation, fit.scale, fit.translation) * np.float32(controls.pose_scale),
            blink=eye_closure(track.landmarks),
            fps=SPEC.fps,
        )

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """See `System.pose_from_angles`."""
        rotations = np.asarray(from_euler_degrees(np.degrees(angles_rad)))
        pose = np.zeros((len(angles_rad), 6), np.float32)
        pose[:, :3] = rotation_vector(rotations)
        return pose

    def render(self, avatar: Avatar, motion: Iterator[Motion], controls: Controls, first: int = 0) -> Iterator[Frames]:
        """See `System.render`. A clip avatar with pose "source" is dubbed; otherwise its best frame is animated."""
        motion = skip_frames(motion, first)
        if controls.pose == "source" and avatar.card.get("kind") == "clip":
            return self._dub(avatar, motion, controls)
        from talkingface.photo.photo_renderer import PhotoRenderer

        t = avatar.tensors
        rig = load_rig(t)
        matte = t["matte"].astype(np.float32) / 255
        return PhotoRenderer(t["rgb"], t["landmarks"], matte, rig, self.refiner, controls).frames(motion)

    def _dub(self, avatar: Avatar, motion: Iterator[Motion], controls: Controls) -> Iterator[Frames]:
        from talkingface.photo.clip_renderer import ClipRenderer

        if controls.background != "keep":
            raise UsageError("a dubbed clip keeps its background; use --pose generated or still to replace it")
        if controls.fps is not None and controls.fps != avatar.card["fps"]:
            raise UsageError(f"a dubbed clip keeps its {avatar.card['fps']:g} frames per second; leave --fps out")
        fit = {name: avatar.tensors[f"clip.{name}"] for name in ("landmarks", "expression", "rotation", "scale")}
        longest = int(avatar.card.get("longest_px") or 0) or None  # type: ignore[call-overload]
        return ClipRenderer(
            avatar.files["clip"],
            float(avatar.card["fps"]),
            longest,
            load_mesh478(),
            fit,
            self.refiner,
            controls,  # type: ignore[arg-type]
        ).frames(motion)


def _longest(size: int | str | None) -> int | None:
    return None if size == "native" else DEFAULT_LONGEST_PX if size is None else int(size)


def _resized(picture: np.ndarray, size: int | str | None) -> np.ndarray:
    longest = max(picture.shape[:2])
    wanted = _longest(size)
    if wanted is None or (size is None and longest <= wanted) or longest == wanted:
        return np.ascontiguousarray(picture)
    scale = wanted / longest
    return shrink(picture, (max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale))))


def _photo_tensors(rgb: np.ndarray, alpha: np.ndarray | None, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    from talkingface.face.matte import person_matte

    matte = np.round(255 * person_matte(rgb)).astype(np.uint8) if alpha is None else alpha
    return {"rgb": np.ascontiguousarray(rgb), "matte": matte, "landmarks": landmarks, **_rig_tensors(landmarks)}


def _rig_tensors(landmarks: np.ndarray) -> dict[str, np.ndarray]:
    fit = fit_photo(load_mesh478(), landmarks)
    return {
        "resting": fit.resting,
        "rotation": fit.rotation[0].astype(np.float32),
        "scale": np.array(fit.scale[0], np.float32),
        "translation": fit.translation[0].astype(np.float32),
    }


def _notes(num_faces: int, face_index: int | None, landmarks: np.ndarray) -> list[str]:
    notes = []
    if num_faces > 1 and face_index is None:
        notes.append(
            f"{num_faces} faces found, the largest is used; --face-index chooses another, counted from the left"
        )
    side = float(np.ptp(landmarks[:, :2], axis=0).max())
    if side < SMALL_FACE_PX:
        notes.append(f"the face is only {side:.0f} px high; a larger picture gives a sharper result")
    return notes


def _track_clip(path: Path, fps: float, longest_px: int | None, face_index: int | None, lost: list[str]) -> Track:
    from talkingface.face.track_cache import cached_track
    from talkingface.video.read import probe, read_frames

    total = max(1, round(float(probe(path).duration_s or 0) * fps))

    def frames() -> Iterator[tuple[np.ndarray, float]]:
        for number, frame in enumerate(read_frames(path, fps=fps, longest_px=longest_px, lost=lost), 1):
            yield frame.rgb, frame.time_s
            tell("tracking the face", number, total)

    return cached_track(path, frames(), f"{fps:.3f}fps-{longest_px or 0}px", face_index)


def _relative_pose(rotation: np.ndarray, scale: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Pose rows float32 [T, 6] relative to the mean pose (see `core.types.Motion`)."""
    from scipy.spatial.transform import Rotation

    mean = Rotation.from_matrix(rotation).mean().as_matrix()
    turn = Rotation.from_matrix(rotation @ mean.T).as_rotvec()
    size = float(np.median(scale))
    shift = (translation[:, :2] - translation[:, :2].mean(0)) / size
    return np.column_stack([turn, shift, np.log(scale / size)]).astype(np.float32)


def _best_frame(
    path: Path, fps: float, longest_px: int | None, track: Track, expression: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The frame that serves best as a photo: seen, eyes open, mouth at rest; and its landmarks."""
    from talkingface.face.blink import eye_aspect
    from talkingface.video.read import read_frames

    open_eyes = eye_aspect(track.landmarks)
    cost = np.abs(expression).mean(1) - open_eyes / max(float(np.percentile(open_eyes, 80)), 1e-6)
    cost = np.where(track.confidence > 0, cost, np.inf)
    best = int(np.argmin(cost))
    for number, frame in enumerate(read_frames(path, fps=fps, longest_px=longest_px)):
        if number == best:
            return frame.rgb, track.landmarks[best]
    raise AssertionError("the clip was tracked to this frame before")
