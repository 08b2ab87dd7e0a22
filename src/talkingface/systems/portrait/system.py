"""`portrait`: a photo's own pixels, moved by speech. Needs no training, no GPU and no download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from talkingface.core.kept import once
from talkingface.core.spec import SystemSpec
from talkingface.core.system import Renderer, System, Weights
from talkingface.core.timing import as_rate
from talkingface.core.types import Avatar, Clip, Controls, Motion, Photo, Track
from talkingface.face.morphable import fit_photo, fit_track, load_mesh478
from talkingface.face.track import smooth_track
from talkingface.photo.config import RefinerConfig
from talkingface.photo.refine import NoRefiner, Refiner
from talkingface.photo.rig import load_rig
from talkingface.systems.portrait import SPEC
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.systems.portrait.init_weights import init_tensors
from talkingface.video.resize import with_longest

if TYPE_CHECKING:
    from talkingface.systems.portrait.motion.speech import SpeechToMotion

DEFAULT_LONGEST_PX = 1280


class PortraitSystem(System):
    """The sixth system of the toolkit. See docs/systems/portrait.md."""

    SPEC: ClassVar[SystemSpec] = SPEC

    def __init__(self, weights: Weights | None, config: PortraitConfig, device: str = "cpu") -> None:
        super().__init__(weights, config, device)
        self._tensors: dict[str, np.ndarray] = init_tensors(config) if weights is None else weights.tensors

    @once
    def speech(self) -> SpeechToMotion:
        """What turns speech into motion, made on first use: loading it takes a moment."""
        from talkingface.systems.portrait.motion.speech import SpeechToMotion

        return SpeechToMotion(self._tensors, self.config)

    @once
    def refiner(self) -> Refiner:
        """The refiner, made on first use: driving data alone does not need it."""
        if self.config.refiner is None:
            return NoRefiner(RefinerConfig())
        return Refiner(self._tensors, self.config.refiner, self.device)

    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """See `System.fit`. A photo takes about a second; a clip is tracked once and its track is cached."""
        if isinstance(source, Photo):
            return self._fit_photo(source, face_index, size)
        return self._fit_clip(source, face_index, size)

    def _fit_photo(self, photo: Photo, face_index: int | None, size: int | str | None) -> Avatar:
        from talkingface.face.search import turn
        from talkingface.face.track import face_notes, track_image

        face = track_image(_resized(photo.opaque(), size), face_index, turned=True)
        alpha = None if photo.alpha is None else turn(_resized(photo.alpha, size), face.turns)
        notes = [*photo.notes, *face.notes, *face_notes(face.landmarks, face.num_faces if face_index is None else 1)]
        tensors = _photo_tensors(face.rgb, alpha, face.landmarks)
        return Avatar(system=SPEC.name, card=self._card("photo", notes), tensors=tensors)

    def _fit_clip(self, clip: Clip, face_index: int | None, size: int | str | None) -> Avatar:
        from talkingface.clips.tracked import best_frame, track_clip

        fps = float(clip.info.fps)
        tracked = track_clip(clip, fps=fps, longest_px=_longest(size), face_index=face_index, upright=True)
        rows = _clip_rows(tracked.track)
        rgb, landmarks = best_frame(tracked, _cost_as_photo(rows["landmarks"], rows["expression"]))
        tensors = _photo_tensors(rgb, None, landmarks) | {f"clip.{name}": value for name, value in rows.items()}
        notes = [*tracked.notes, *tracked.gap_notes()]
        card = {
            **self._card("clip", notes), "fps": fps, "longest_px": _longest(size) or 0, "turns": tracked.turns,
            "face_index": face_index,
        }  # fmt: skip
        return Avatar(system=SPEC.name, card=card, tensors=tensors, files={"clip": clip.path.resolve()})

    def _card(self, kind: str, notes: list[str]) -> dict[str, object]:
        weights = "" if self.weights is None else self.weights.card.get("name", "")
        return {"system": SPEC.name, "kind": kind, "weights": weights, "notes": notes}

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """See `System.motion_from_audio`. The motion does not depend on the avatar."""
        return self.speech.stream(pieces, controls)

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        """See `System.motion_from_video`."""
        from talkingface.clips.source import open_clip
        from talkingface.clips.tracked import track_clip
        from talkingface.face.mesh478_motion import RestingHead, driven_motion

        clip = open_clip(source, "what drives a face")
        track = track_clip(clip, fps=SPEC.fps, longest_px=DEFAULT_LONGEST_PX, upright=True).track
        head = None
        if avatar is not None:
            height, width = avatar.tensors["rgb"].shape[:2]
            head = RestingHead(points=avatar.tensors["landmarks"], size=(width, height))
        yield driven_motion(track, SPEC.fps, controls, head)

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """See `System.pose_from_angles`."""
        from talkingface.face.mesh478_motion import turned_rows

        return turned_rows(angles_rad)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Renderer:
        """See `System.make_renderer`. A clip avatar with pose "source" is dubbed; else its best frame is animated."""
        if controls.pose == "source" and avatar.card.get("kind") == "clip":
            return self._dub(avatar, controls)
        from talkingface.photo.photo_renderer import PhotoRenderer

        t = avatar.tensors
        rig = load_rig(t)
        matte = t["matte"].astype(np.float32) / 255
        return PhotoRenderer(t["rgb"], t["landmarks"], matte, rig, self.refiner, controls)

    def _dub(self, avatar: Avatar, controls: Controls) -> Renderer:
        from talkingface.photo.clip_renderer import ClipRenderer

        longest = int(avatar.card.get("longest_px") or 0) or None  # type: ignore[call-overload]
        fps = self.fps(avatar, controls)
        if as_rate(fps) == as_rate(avatar.card["fps"]):  # type: ignore[arg-type]
            rows = {name: avatar.tensors[f"clip.{name}"] for name in ("landmarks", "expression", "rotation", "scale")}
            # avatars made before faces could leave a clip have one in every frame
            rows["present"] = avatar.tensors.get("clip.present", np.ones(len(rows["scale"]), bool))
        else:
            from talkingface.clips.tracked import track_clip

            face_index = avatar.card.get("face_index")
            tracked = track_clip(
                avatar.files["clip"], fps=fps, longest_px=longest, face_index=face_index, upright=True  # type: ignore[arg-type]
            )  # fmt: skip
            rows = _clip_rows(tracked.track)
        turns = int(avatar.card.get("turns") or 0)  # type: ignore[call-overload]
        return ClipRenderer(avatar.files["clip"], fps, longest, load_mesh478(), rows, self.refiner, controls, turns)


def _clip_rows(track: Track) -> dict[str, np.ndarray]:
    """What a clip is dubbed by, row for row of its frames."""
    fit = fit_track(load_mesh478(), smooth_track(track))
    return {
        "landmarks": track.landmarks,
        "expression": fit.expression,
        "rotation": fit.rotation.astype(np.float32),
        "scale": fit.scale.astype(np.float32),
        "present": track.present,
    }


def _longest(size: int | str | None) -> int | None:
    return None if size == "native" else DEFAULT_LONGEST_PX if size is None else int(size)


def _resized(picture: np.ndarray, size: int | str | None) -> np.ndarray:
    longest = max(picture.shape[:2])
    wanted = _longest(size)
    if wanted is None or (size is None and longest <= wanted) or longest == wanted:
        return np.ascontiguousarray(picture)
    return with_longest(picture, wanted)


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


def _cost_as_photo(landmarks: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """How badly each frame [T] would serve as a photo: least with open eyes and the mouth at rest."""
    from talkingface.face.blink import eye_aspect

    open_eyes = eye_aspect(landmarks)
    return np.abs(expression).mean(1) - open_eyes / max(float(np.percentile(open_eyes, 80)), 1e-6)
