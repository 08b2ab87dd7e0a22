"""The compact design in use: codes move the face mesh, and the photo's own pixels with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from talkingface.core.kept import once
from talkingface.core.motion import follow_poses
from talkingface.core.system import Renderer, Weights
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo, Track
from talkingface.face.mesh478_motion import driven_motion, mean_pose, pose_on, pose_rows, turned_rows
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.pose import Pose
from talkingface.photo.amplitude import mouth_gains
from talkingface.photo.avatar import cost_as_photo, longest_side, open_mouths, photo_face, photo_tensors
from talkingface.photo.config import RefinerConfig
from talkingface.photo.mouth import mouth_tensors
from talkingface.photo.photo_renderer import PARTS, PhotoRenderer, load_refiner, open_photo
from talkingface.photo.refine import Refiner
from talkingface.systems.pcavs import SPEC
from talkingface.systems.pcavs.compact.codes import MouthCodes
from talkingface.systems.pcavs.config import CompactConfig, PcavsConfig
from talkingface.systems.pcavs.data.timing import FPS
from talkingface.systems.pcavs.system import PcavsSystem, weights_that_fit

LONGEST_PX = 1280
"""Drivers are tracked and looked at in this size at most."""
QUIET_DB, SPEAKING_DB = -22.0, -14.0
"""Loudness of the loudest bands below the voice's level at which it surely pauses, and surely speaks."""


class CompactSystem(PcavsSystem):
    """Motion is that of `mesh478`: codes of mouths become coefficients, and the head is posed as it was tracked."""

    def __init__(self, weights: Weights | None, config: PcavsConfig, device: str = "cpu") -> None:
        super().__init__(weights, config, device)
        tensors = init_tensors(config.compact) if weights is None else weights.tensors
        with weights_that_fit():
            self.codes = MouthCodes(tensors, config.compact, device)
        self._head_motion = _part(tensors, "head_motion.")

    @once
    def refiner(self) -> Refiner:
        """The refiner, loaded on first use: motion alone does not need it."""
        return load_refiner(self.config.compact.refiner, self.device)

    def fit(
        self,
        source: Photo | Clip,
        *,
        face_index: int | None = None,
        size: int | str | None = None,
        folder: Path | None = None,
    ) -> Avatar:
        """See `System.fit`. Nothing is trained: of a clip the best frame serves as the photo."""
        if isinstance(source, Photo):
            kind, (tensors, notes) = "photo", photo_face(source, face_index, size)
        else:
            kind, (tensors, notes) = "clip", _clip_face(source, face_index, size, self.refiner.config)
        tensors = tensors | {"mouth_gains": mouth_gains(tensors, self.refiner)}
        name = "" if self.weights is None else self.weights.card.get("name", "")
        return Avatar(
            system=SPEC.name, card={"system": SPEC.name, "weights": name, "kind": kind, "notes": notes}, tensors=tensors
        )

    def motion_from_audio(
        self, avatar: Avatar | None, pieces: Iterator[np.ndarray], controls: Controls
    ) -> Iterator[Motion]:
        """See `System.motion_from_audio`."""
        from talkingface.face.head_motion import HeadMotion

        head = HeadMotion(self._head_motion, controls.seed, controls.blink)
        scale = controls.pose_scale if controls.pose == "generated" else 0.0
        for codes, heard in self.codes.hear(pieces):
            voice = np.clip((heard.loudest[: len(codes)] - QUIET_DB) / (SPEAKING_DB - QUIET_DB), 0, 1)
            moves = head.push(voice, heard.loudness - heard.level, heard.loudest)
            rows = np.concatenate([self.codes.coefficients(codes, spoken=True), moves.brow], axis=1)
            yield Motion(
                space=MESH478.name,
                space_version=MESH478.version,
                expression=(rows * controls.expression_scale).astype(np.float32),
                pose=moves.pose * np.float32(scale),
                blink=moves.blink,
                gaze=None if moves.gaze is None else moves.gaze * np.float32(controls.gaze),
                fps=FPS,
                start=heard.start,
            )

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        """See `System.motion_from_video`. The mouth is read off its pictures, the rest off the track. With origin
        "none", the default, the head is turned as in the video, also as in a photo; its place and size are about the
        first picture's. Without an avatar everything is about that."""
        from talkingface.clips.tracked import track_clip
        from talkingface.face.track import bridge, smooth_track, track_image

        if isinstance(source, Photo):
            face = track_image(source.opaque(), turned=True)
            track = Track.still(face.landmarks, (face.rgb.shape[1], face.rgb.shape[0]))
            codes = self.codes.see(track, iter([face.rgb]))
        else:
            tracked = track_clip(source, fps=FPS, longest_px=LONGEST_PX, upright=True)
            track = tracked.track
            codes = self.codes.see(smooth_track(track), tracked.frames("reading the face"))
            codes = bridge(codes, track.present)  # pictures without the face were looked at, too
        moved = driven_motion(track, FPS, replace(controls, pose_origin="first"), None)
        mouth = self.codes.coefficients(codes, spoken=False) * np.float32(controls.expression_scale)
        expression = np.concatenate([mouth, moved.expression[:, mouth.shape[1] :]], axis=1)
        pose = _head_rows(track, controls.pose_origin or "none", avatar) * np.float32(controls.pose_scale)
        yield replace(moved, expression=expression.astype(np.float32), pose=pose.astype(np.float32))

    def pose_from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """See `System.pose_from_angles`."""
        return turned_rows(angles_rad)

    def make_renderer(self, avatar: Avatar, controls: Controls) -> Renderer:
        """See `System.make_renderer`. Avatars of before hold the picture and its landmarks alone."""
        tensors = avatar.tensors
        if not set(PARTS) <= set(tensors):
            tensors = {**photo_tensors(tensors["rgb"], tensors.get("matte"), tensors["landmarks"]), **tensors}
        renderer = PhotoRenderer(open_photo(tensors, controls.background), self.refiner, controls)
        own = tensors.get("clip.pose")
        return renderer if controls.pose != "source" or own is None else _OwnHead(renderer, own)


class _OwnHead:
    """A renderer whose head moves as in the avatar's clip, by rows [T, 6] at the system's clock."""

    def __init__(self, renderer: PhotoRenderer, poses: np.ndarray) -> None:
        self._renderer, self._poses = renderer, poses

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`."""
        return self._renderer.frames(follow_poses(motions, self._poses), first)


def _clip_face(
    clip: Clip, face_index: int | None, size: int | str | None, config: RefinerConfig
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The frame of a clip that serves best as a photo, its open mouth, and the clip's head motion; and notes."""
    from talkingface.clips.tracked import best_frame, track_clip
    from talkingface.face.detect import detect_faces
    from talkingface.face.track import face_notes, smooth_track

    tracked = track_clip(clip, fps=FPS, longest_px=longest_side(size), face_index=face_index, upright=True)
    fit = fit_track(load_mesh478(), smooth_track(tracked.track))
    sine_of_yaw = np.abs(fit.rotation[:, 0, 2])  # a photo can be turned less far to where it looks already
    rgb, landmarks = best_frame(tracked, cost_as_photo(tracked.track.landmarks, fit.expression) + sine_of_yaw)
    rows = pose_rows(fit.rotation, fit.scale, fit.translation, pose_on(fit, landmarks)).astype(np.float32)
    faces = len(detect_faces(rgb)) if face_index is None else 1
    notes = [*tracked.notes, *tracked.gap_notes("the pose of the head there is bridged")]
    notes += face_notes(landmarks, faces)
    inside = mouth_tensors(open_mouths(tracked, FPS), config)
    return {**photo_tensors(rgb, None, landmarks), **inside, "clip.pose": rows}, notes


def _head_rows(track: Track, origin: str, avatar: Avatar | None) -> np.ndarray:
    """Pose rows float64 [T, 6] of a driver's head from an origin, as `CompactSystem.motion_from_video` has it."""
    from talkingface.face.track import smooth_track

    fit, seen = fit_track(load_mesh478(), smooth_track(track)), track.confidence > 0
    heads = fit.rotation, fit.scale, fit.translation
    if origin == "mean":
        return pose_rows(*heads, mean_pose(*heads, seen))
    first = int(seen.argmax())
    turned = fit.rotation[first]
    if origin == "none" and avatar is not None:
        turned = pose_on(fit, avatar.tensors["landmarks"]).rotation
    rest = Pose(rotation=turned, scale=float(fit.scale[first]), translation=fit.translation[first])
    return pose_rows(*heads, rest)


def _part(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def init_tensors(config: CompactConfig) -> dict[str, np.ndarray]:
    """Weights before any training: random networks from a seed, and a head that sways a little and blinks."""
    from talkingface.nn.seeding import seeded
    from talkingface.nn.state import arrays, named
    from talkingface.systems.pcavs.compact.networks import MouthNet, make_speech

    with seeded(0):
        networks = {"mouth": MouthNet(config), "speech": make_speech(config)}
    tensors = {
        key: value for part, net in networks.items() for key, value in named(part, arrays(net.state_dict())).items()
    }
    channels = np.eye(10, dtype=np.float32)
    return tensors | {
        "rest": np.zeros(config.code, np.float32),
        "head_motion.kernel": 0.01 * np.hanning(25).astype(np.float32)[:, None, None] * channels,
        "head_motion.response": np.zeros((5, 10), np.float32),
        "head_motion.limit": np.full(10, 0.1, np.float32),
        "head_motion.blink": np.array([0, 0.5, 1, 0.5, 0], np.float32),
    }
