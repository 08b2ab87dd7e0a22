"""`portrait`: a photo's own pixels, moved by speech. Needs no training, no GPU and no download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from talkingface.core.kept import once
from talkingface.core.spec import SystemSpec
from talkingface.core.system import Renderer, System, Weights
from talkingface.core.timing import as_rate
from talkingface.core.types import Avatar, Clip, Controls, Motion, Photo, Track
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.track import smooth_track
from talkingface.photo.avatar import (
    DEFAULT_LONGEST_PX,
    cost_as_photo,
    longest_side,
    open_mouths,
    photo_face,
    photo_tensors,
)
from talkingface.photo.config import RefinerConfig
from talkingface.photo.mouth import mouth_tensors, stored_mouth
from talkingface.photo.refine import NoRefiner, Refiner
from talkingface.photo.rig import NO_GAINS
from talkingface.systems.portrait import SPEC
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.systems.portrait.init_weights import init_tensors

if TYPE_CHECKING:
    from talkingface.systems.portrait.motion.speech import SpeechToMotion


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
            tensors, notes = photo_face(source, face_index, size)
            return Avatar(system=SPEC.name, card=self._card("photo", notes), tensors=self._judged(tensors))
        return self._fit_clip(source, face_index, size)

    def _fit_clip(self, clip: Clip, face_index: int | None, size: int | str | None) -> Avatar:
        from talkingface.clips.tracked import best_frame, track_clip

        fps = float(clip.info.fps)
        tracked = track_clip(clip, fps=fps, longest_px=longest_side(size), face_index=face_index, upright=True)
        rows = _clip_rows(tracked.track)
        rgb, landmarks = best_frame(tracked, cost_as_photo(rows["landmarks"], rows["expression"]))
        tensors = photo_tensors(rgb, None, landmarks) | mouth_tensors(open_mouths(tracked, fps), self.refiner.config)
        tensors = self._judged(tensors) | {f"clip.{name}": value for name, value in rows.items()}
        notes = [*tracked.notes, *tracked.gap_notes()]
        card = {
            **self._card("clip", notes), "fps": fps, "longest_px": longest_side(size) or 0, "turns": tracked.turns,
            "face_index": face_index,
        }  # fmt: skip
        return Avatar(system=SPEC.name, card=card, tensors=tensors, files={"clip": clip.path.resolve()})

    def _judged(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        from talkingface.photo.amplitude import mouth_gains

        return tensors | {"mouth_gains": mouth_gains(tensors, self.refiner)}

    def add_photos(self, avatar: Avatar, photos: Sequence[Photo]) -> Avatar:
        """See `System.add_photos`: the most telling open mouth of all is the one that is drawn."""
        faces: list[Mapping[str, np.ndarray]] = [photo_face(photo, None, None)[0] for photo in photos]
        if avatar.card["kind"] == "photo":
            faces.append(avatar.tensors)
        found = mouth_tensors([(face["rgb"], face["landmarks"]) for face in faces], self.refiner.config)
        notes = [] if found else ["no photo shows an open mouth: average teeth are drawn"]
        card = avatar.card | {"notes": [*avatar.card["notes"], *notes]}  # type: ignore[misc]
        return replace(avatar, card=card, tensors={**avatar.tensors, **found})

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
        from talkingface.photo.photo_renderer import PhotoRenderer, open_photo

        return PhotoRenderer(open_photo(avatar.tensors, controls.background), self.refiner, controls)

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
        return ClipRenderer(avatar.files["clip"], fps, longest, load_mesh478(), rows, self.refiner, controls, turns,
                            stored_mouth(avatar.tensors), avatar.tensors.get("mouth_gains", NO_GAINS))  # fmt: skip


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
